"""``/v1/end-user-purges``: what end users left and is still being taken away."""

from __future__ import annotations

import msgspec

from alloyd.domain.embedded.purge import EndUserPurge
from alloyd.kit.clock import rfc3339
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import Call, Route


class PurgesQuery(PageQuery, frozen=True, kw_only=True):
    """Whose purges."""

    organization_id: str | None = None


class PurgeJson(msgspec.Struct, frozen=True, kw_only=True):
    """A purge that is not done: of an end user who is deleted, or whose logs are."""

    end_user_id: str
    asked_at: str


class EndUserPurges:
    """The handler of `/v1/end-user-purges`."""

    def __init__(self, purges: EndUserPurge, limits: PageLimits) -> None:
        self._purges = purges
        self._pager = Pager("end_user_purges", limits, str)

    async def list_purges(self, call: Call) -> list[PurgeJson]:
        """`GET /v1/end-user-purges`, the newest end user first; what is done is not in it any more."""
        organization_of(call, call.query.organization_id)
        page = self._pager.read(call.query)
        found = await self._purges.list_page(call.who, page.after[0] if page.after else None, page.fetch)
        kept = self._pager.cut(call, page, found, lambda one: (one[0],))
        return [PurgeJson(end_user_id=user_id, asked_at=rfc3339(asked_at)) for user_id, asked_at in kept]


def routes(purges: EndUserPurge, limits: PageLimits) -> list[Route]:
    """The route of this file."""
    return [
        Route(
            "GET",
            "/end-user-purges",
            EndUserPurges(purges, limits).list_purges,
            "end_user.read",
            "Purges of end users that are under way",
            query=PurgesQuery,
            output=list[PurgeJson],
            statuses=(404,),
        ),
    ]
