"""What stands in for an HTTP request when a call came by gRPC: all that routes and authenticators look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy, MultiDict
from yarl import URL

from alloyd.wire.address import TRUSTED_PROXIES, TrustedProxies
from alloyd.wire.grpc.methods import BODY, path_parameters
from alloyd.wire.route import Route

# What of a call's metadata counts; anything else is the transport's own.
_HEADERS: Final = ("authorization", "idempotency-key", "x-request-id", "traceparent", "last-event-id", "user-agent")


class _Body:
    """A body that is here already."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def is_eof(self) -> bool:
        """All of it came."""
        return True

    def read_nowait(self) -> bytes:
        """All of it."""
        return self._data


class GrpcRequest:
    """One gRPC call in the shape of ``aiohttp.web.Request``.

    ``values`` are the message's fields by name: those that the path names go there, those of the route's query struct
    into the query, the rest into the JSON body.
    """

    transport: Final = None

    def __init__(
        self, route: Route, values: Mapping[str, Any], metadata: Sequence[tuple[str, str | bytes]], peer: str
    ) -> None:
        rest = dict(values)
        self.method = route.method
        self.match_info = {name: str(rest.pop(name, "")) for name in path_parameters(route.path)}
        in_query = set(getattr(route.query, "__struct_encode_fields__", ()))
        in_body = set(getattr(route.body, "__struct_encode_fields__", ()))
        self.query: MultiDict[str] = MultiDict(
            (name, _text(rest.pop(name))) for name in list(rest) if name in in_query and name not in in_body
        )
        self.path = self.raw_path = route.path
        self.rel_url = URL.build(path=route.path, query=self.query)
        self.remote = address_of(peer)
        self.headers = CIMultiDictProxy(
            CIMultiDict((key, value) for key, value in metadata if key in _HEADERS and isinstance(value, str))
        )
        body = rest if in_body else rest.get(BODY)
        data = msgspec.json.encode(body) if body and route.body is not None else b""
        self.content = _Body(data)
        self.content_length = len(data)
        self.can_read_body = bool(data)

    def get(self, key: Any, default: Any = None) -> Any:
        """What aiohttp's request carries beside itself: nobody else's word on the address is believed here."""
        return _NO_PROXIES if key is TRUSTED_PROXIES else default


_NO_PROXIES: Final = TrustedProxies()


def address_of(peer: str) -> str | None:
    """The address in gRPC's ``ipv4:127.0.0.1:1234`` or ``ipv6:%5B::1%5D:1234``; None for a socket of another kind."""
    kind, _, rest = unquote(peer).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return None
    return rest.rpartition(":")[0].strip("[]")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)
