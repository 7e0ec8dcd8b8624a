"""`GET /v1/me`: who the caller is."""

from __future__ import annotations

import msgspec

from alloyd.domain.keys.service import KeyService
from alloyd.principal import Kind
from alloyd.wire.route import SIGNED_IN, Call, Route


class MeJson(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The caller. A key has no e-mail; its name stands for the display name."""

    principal_id: str
    kind: str
    authenticated: bool
    organization_id: str
    role: str
    scopes: tuple[str, ...]
    email: str | None = None
    display_name: str | None = None


class Me:
    """The handler of `/v1/me`."""

    def __init__(self, keys: KeyService) -> None:
        self._keys = keys

    async def get_me(self, call: Call) -> MeJson:
        """Control contract: `GET /v1/me`."""
        who = call.who
        name = (await self._keys.get(who, who.id)).name if who.kind is Kind.KEY else who.id
        return MeJson(
            principal_id=who.id,
            kind=who.kind.value,
            authenticated=True,
            organization_id=who.org_id,
            role=who.role.value,
            scopes=tuple(sorted(who.scopes)),
            display_name=name,
        )


def routes(keys: KeyService) -> list[Route]:
    """The routes of this file."""
    me = Me(keys)
    return [Route("GET", "/me", me.get_me, SIGNED_IN, "Who the caller is", output=MeJson)]
