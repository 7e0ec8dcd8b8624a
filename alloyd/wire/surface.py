"""A surface: one contract's prefix, credential and dialect over a list of routes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from aiohttp import web

from alloyd.errors import AlloydError, Code
from alloyd.principal import Principal
from alloyd.wire.auth import Authenticator
from alloyd.wire.cors import Cors
from alloyd.wire.route import TICKET_STREAMS, Call, Route

_SLASHES = re.compile(r"/{2,}")


class Heading(NamedTuple):
    """A group of routes in the API reference: a tag of openapi.json."""

    name: str
    about: str


class Surface(ABC):
    """One contract. Subclasses say how it authenticates and how its bodies look."""

    name: str
    prefix: str
    # Whether request ids must be UUIDs, as the control envelope promises.
    uuid_request_ids: bool = False
    # Whether `organization_id` in a query or body says where a request acts, and has to be one of the caller's.
    names_organizations: bool = False
    # What WWW-Authenticate says with a 401, where the credential has a scheme that HTTP knows.
    challenge: str | None = None
    # The security schemes, beside the surface's own, that its streams accept: for openapi.json.
    stream_security: Mapping[str, dict[str, Any]] = MappingProxyType({})
    # Where in a success body the value is, as a JSON pointer, for the links of openapi.json; None for none.
    output_pointer: str | None = None
    # Further prefixes that mean the same as `prefix`.
    aliases: Sequence[str] = ()
    # Where another surface has the same prefix: the beginnings of the paths that are this one's.
    own_paths: Sequence[str] = ()
    # What some clients can't do without: `//` counts as one slash, a parameter without a value as one left out.
    lenient: bool = False
    # Which pages of other origins may call this from a browser; None for none.
    cors: Cors | None = None
    # Headers that every answer has beside the standing ones; a download's own come first.
    answer_headers: Mapping[str, str] = MappingProxyType({})
    # Whether openapi.json tells of its routes: not of those that are no API but the parts of a page.
    described: bool = True
    # Its heading in the API reference; its name where it has none.
    title: str = ""

    def __init__(self, routes: Sequence[Route], authenticator: Authenticator | None = None) -> None:
        """``authenticator``: who turns credentials into principals here; None where nobody signs in."""
        self.routes = tuple(routes)
        self._authenticator = authenticator

    @property
    def beginnings(self) -> Sequence[str]:
        """The paths for which this surface answers, and for all below them, also where it has no route."""
        return self.own_paths or (self.prefix, *self.aliases)

    def find_principal(self, request: web.Request) -> Principal | None:
        """The caller if that is known without waiting (a cached key); None to ask :meth:`authenticate`."""
        return None if self._authenticator is None else self._authenticator.find(request)

    async def authenticate(self, request: web.Request) -> Principal:
        """The caller, or raises ``unauthorized``. Runs before the body is read and the resource looked up."""
        if self._authenticator is None:
            raise AlloydError(Code.UNAUTHORIZED, "nobody signs in here")
        return await self._authenticator.authenticate(request)

    def find_stream_principal(self, request: web.Request) -> Principal | None:
        """:meth:`find_principal` for a stream of events, which may accept more; raises ``unauthorized``."""
        return self.find_principal(request)

    def canonical_path(self, path: str) -> str:
        """``path``, which is of this surface, as its routes have it."""
        if self.lenient:
            path = collapse_slashes(path)
        for alias in self.aliases:
            if path == alias or path.startswith(f"{alias}/"):
                return self.prefix + path[len(alias) :]
        return path

    def heading_of(self, route: Route) -> Heading:
        """What ``route`` stands under in the API reference."""
        return Heading(self.title or self.name.replace("-", " ").capitalize(), f"Paths under {self.prefix or '/'}")

    @abstractmethod
    def encode(self, call: Call, value: Any) -> bytes:
        """A success body."""

    @abstractmethod
    def encode_error(
        self, error: AlloydError, status: int, request_id: str, call: Call | None, trace_id: str | None = None
    ) -> bytes:
        """An error body. ``call`` is None when no route matched; ``trace_id`` then is what the request came with."""

    def describe_output(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The JSON Schema of a success body whose value has ``schema``."""
        return schema

    @abstractmethod
    def describe_error(self) -> dict[str, Any]:
        """The JSON Schema of an error body."""

    @abstractmethod
    def describe_security(self) -> dict[str, Any]:
        """The OpenAPI security scheme of this surface's credential."""


def collapse_slashes(path: str) -> str:
    """``path`` with one slash wherever it has several."""
    return _SLASHES.sub("/", path)


@dataclass(frozen=True, slots=True)
class BoundRoute:
    """A route with the surface it belongs to: what the server serves and openapi.json tells."""

    surface: Surface
    route: Route

    @property
    def takes_ticket(self) -> bool:
        """Whether a browser may open this with a one-time ticket: the streams of events, which are read by GET."""
        return self.route.method == "GET" and self.route.streams in TICKET_STREAMS

    @property
    def path(self) -> str:
        """The whole path, with the surface's prefix."""
        return self.surface.prefix + self.route.path
