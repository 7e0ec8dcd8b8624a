"""`/v1/organizations/{id}/audit-logs` and `/v1/audit-logs`: who asked for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from alloyd.domain.audit.model import AuditFilter, Entry
from alloyd.domain.audit.service import AuditService
from alloyd.domain.authz.service import Resource, authorize
from alloyd.kit.clock import rfc3339
from alloyd.wire.control.workflow_runs import read_time
from alloyd.wire.fields import Time
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import PLATFORM_ADMIN, Call, Route

_STRINGS = msgspec.json.Decoder(tuple[str, ...])

_Filter = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class AuditQuery(PageQuery, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The query of both lists. `action` may end with `.*`; `to` itself is not included."""

    actor: _Filter | None = None
    action: _Filter | None = None
    target: _Filter | None = None
    outcome: Literal["ok", "refused", "failed"] | None = None
    from_: Time | None = None
    to: Time | None = None


class ActorJson(msgspec.Struct, frozen=True, kw_only=True):
    """Who: a user, a key, the operator, alloyd itself (`system`), or `anonymous`."""

    id: str
    kind: str


class AuditJson(msgspec.Struct, frozen=True, kw_only=True):
    """A row. `changed` names fields and never has their values; `count` is how many things or refusals it stands for;
    `hash` chains it to the row with the `seq` before."""

    id: str
    seq: int
    organization_id: str | None
    actor: ActorJson
    action: str
    target: str | None
    outcome: str
    status: int | None
    changed: tuple[str, ...]
    count: int
    route: str | None
    ip: str | None
    request_id: str | None
    hash: str
    timestamp: str


class AuditLogs:
    """The handlers of this file."""

    def __init__(self, audit: AuditService, limits: PageLimits) -> None:
        self._audit = audit
        self._pager = Pager("audit_logs", limits, int, int)

    async def list_of_organization(self, call: Call) -> Sequence[AuditJson]:
        """Control contract: `GET /v1/organizations/{id}/audit-logs`."""
        org_id = call.param("id")
        authorize(call.who, "audit.read", Resource("organization", org_id, org_id))
        return await self._list(call, org_id)

    async def list_all(self, call: Call) -> Sequence[AuditJson]:
        """Control contract: `GET /v1/audit-logs`."""
        return await self._list(call, None)

    async def _list(self, call: Call, org_id: str | None) -> Sequence[AuditJson]:
        query: AuditQuery = call.query
        page = self._pager.read(query)
        before = None if page.after is None else (int(page.after[0]), int(page.after[1]))
        found, goes_on = await self._audit.list_page(org_id, _filter(query), before, page.limit)
        if goes_on is not None:
            self._pager.link_next(call, goes_on)
        return [audit_json(entry) for entry in found]


def audit_json(entry: Entry) -> AuditJson:
    """``entry`` on the wire."""
    return AuditJson(
        id=str(entry.seq),
        seq=entry.seq,
        organization_id=entry.org_id or None,
        actor=ActorJson(id=entry.actor_id, kind=entry.actor_kind),
        action=entry.action,
        target=entry.target or None,
        outcome=entry.outcome,
        status=entry.status,
        changed=_STRINGS.decode(entry.changed),
        count=entry.count,
        route=entry.route or None,
        ip=entry.address or None,
        request_id=entry.request_id or None,
        hash=entry.hash.hex(),
        timestamp=rfc3339(entry.created_at),
    )


def _filter(query: AuditQuery) -> AuditFilter:
    return AuditFilter(
        query.actor,
        query.action,
        query.target,
        query.outcome,
        read_time(query.from_, "from"),
        read_time(query.to, "to"),
    )


async def _itself(org_id: str) -> str:
    return org_id


def routes(audit: AuditService, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    logs = AuditLogs(audit, limits)
    return [
        Route(
            "GET",
            "/organizations/{id}/audit-logs",
            logs.list_of_organization,
            "audit.read",
            "What was asked for in an organization, newest first",
            query=AuditQuery,
            output=list[AuditJson],
            statuses=(404,),
            owner=_itself,
        ),
        Route(
            "GET",
            "/audit-logs",
            logs.list_all,
            PLATFORM_ADMIN,
            "What was asked for in the whole installation, newest first",
            query=AuditQuery,
            output=list[AuditJson],
        ),
    ]
