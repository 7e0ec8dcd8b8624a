"""`/operator/setup-link`: a link with which a browser makes the first user."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from alloyd.domain.setup.service import LINK_TTL_MS, SetupService
from alloyd.wire.route import OPERATOR, Call, Route


class SetupLinkJson(msgspec.Struct, frozen=True, kw_only=True):
    """A link that works once; `expires_in` in seconds."""

    link: str
    expires_in: int


def routes(setup: SetupService, link_of: Callable[[str], str]) -> list[Route]:
    """The routes of this file. ``link_of(token)`` is where the page takes a token."""

    async def post_setup_link(_call: Call) -> SetupLinkJson:
        """`alloyd setup-link`: the link before it ends."""
        return SetupLinkJson(link=link_of(await setup.make_token()), expires_in=LINK_TTL_MS // 1000)

    return [
        Route(
            "POST",
            "/setup-link",
            post_setup_link,
            OPERATOR,
            "Make a link for the first user",
            output=SetupLinkJson,
            status=201,
            statuses=(409,),
            mutates=False,
        )
    ]
