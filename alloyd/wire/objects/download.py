"""Downloads of objects: the redirect to a signed URL, and what that URL serves."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web

from alloyd.domain.objects.model import Disposition, no_such_object, shows_inline
from alloyd.domain.objects.service import ObjectService
from alloyd.domain.sessions.throttle import Throttle, subject_of_address
from alloyd.errors import bad_request
from alloyd.kit.clock import Clock
from alloyd.wire.address import caller_address
from alloyd.wire.download import answer_download
from alloyd.wire.objects.codec import error_body
from alloyd.wire.route import ANY_TYPE, PUBLIC, Call, Route

MISS_WINDOW_S: Final = 60
SUBJECTS_MAX: Final = 50_000
REFUSAL: Final = "too many objects asked for that are not there; try again later"


class DownloadQuery(msgspec.Struct, frozen=True, rename="camel"):
    """Which object, and how a browser is to take it."""

    object_key: Annotated[str, msgspec.Meta(min_length=1)]
    type: Literal["attachment", "inline"] = "attachment"


class SignedQuery(msgspec.Struct, frozen=True):
    """What was signed. Whatever of it is missing or wrong, the link is not valid."""

    expires: str = ""
    disposition: str = ""
    signature: str = ""


class DownloadRoutes:
    """Handlers over the objects service. ``misses_per_minute`` bounds what one address asks for in vain."""

    def __init__(self, objects: ObjectService, clock: Clock, misses_per_minute: int) -> None:
        self._objects = objects
        self._misses = Throttle(clock, misses_per_minute, MISS_WINDOW_S, SUBJECTS_MAX, REFUSAL)

    async def get_download(self, call: Call) -> web.Response:
        """Redirect to where the bytes are (contract: objects, "Download")."""
        query: DownloadQuery = call.query
        if not query.object_key.strip():
            raise bad_request("objectKey: required", "objectKey")
        subject = subject_of_address(caller_address(call.request))
        self._misses.check(subject)
        self._misses.take(subject)  # before it is looked for: a hundred at once are a hundred
        stored = await self._objects.find(query.object_key)
        if stored is None:
            raise no_such_object()
        self._misses.give_back(subject)
        disposition: Disposition = query.type
        url = await self._objects.sign(stored, disposition, call.request.method)
        headers = {
            "Location": url,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "Server": "alloyd",
            "X-Content-Type-Options": "nosniff",
            "X-Request-Id": call.request_id,
        }
        return web.Response(status=302, headers=headers)

    async def get_signed(self, call: Call) -> web.StreamResponse:
        """The bytes, or a range of them, to whoever has a valid link."""
        query: SignedQuery = call.query
        key = call.param("key").removesuffix("/")  # a path answers the same with a slash at its end
        self._objects.check_signature(key, query.expires, query.disposition, query.signature)
        file = await self._objects.open(key)
        return await answer_download(call, file, error_body, inline=query.disposition == "inline", shows=shows_inline)


def download_routes(handlers: DownloadRoutes) -> list[Route]:
    """The route below ``/api/v1/objects``."""
    return [
        Route(
            "GET",
            "/download",
            handlers.get_download,
            PUBLIC,
            "Redirect to a signed URL of an object, by its key",
            query=DownloadQuery,
            status=302,
            statuses=(404, 429, 503),
            streams=ANY_TYPE,
        )
    ]


def signed_routes(handlers: DownloadRoutes) -> list[Route]:
    """The route below ``/objects``."""
    return [
        Route(
            "GET",
            "/{key:.+}",
            handlers.get_signed,
            PUBLIC,
            "What a signed URL of an object leads to",
            query=SignedQuery,
            statuses=(403, 404, 416, 503),
            streams=ANY_TYPE,
        )
    ]
