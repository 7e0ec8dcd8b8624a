"""``/v1/organizations/{id}/usage`` and ``/budget``: what billable calls used, and what may be spent."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import msgspec
from aiohttp import web

from alloyd.domain.usage.model import Budget, BudgetState, Period, Share, Totals, UsageRecord, UsageReport
from alloyd.domain.usage.service import UsageService
from alloyd.errors import AlloydError, Code, bad_request
from alloyd.kit.clock import parse_rfc3339, rfc3339
from alloyd.kit.money import MICRO, MICRO_USD_MAX, parse_usd, to_usd
from alloyd.wire.control.records_csv import CSV_TYPE, HEADERS, csv_lines
from alloyd.wire.fields import TimeOrDate, told
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import Call, FindOwner, Route

Usd = (
    Annotated[float, msgspec.Meta(ge=0, le=MICRO_USD_MAX // MICRO)]
    | Annotated[str, told(pattern=r"^[0-9]{1,9}(?:\.[0-9]{1,6})?$", description="With at most six decimal places.")]
)
# What one export holds at most; a longer one is made of several, by `from` and `to`.
CSV_RECORDS_MAX = 100_000
_CSV_PAGE = 500


class RangeQuery(msgspec.Struct, frozen=True, kw_only=True):
    """From when to before when; by default this month until now."""

    from_: TimeOrDate | None = msgspec.field(default=None, name="from")
    to: TimeOrDate | None = None


class RecordsQuery(PageQuery, frozen=True, kw_only=True):
    """The range, and the page."""

    from_: TimeOrDate | None = msgspec.field(default=None, name="from")
    to: TimeOrDate | None = None


class TotalsBody(msgspec.Struct):
    """Sums over calls. ``over_budget_usd`` is what providers asked beyond a budget; ``cost_usd`` has none of it."""

    calls: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    over_budget_usd: float
    duration_ms: int


class ShareBody(TotalsBody):
    """A line of a breakdown; with ``id`` null it is all that no other line has."""

    id: str | None
    kind: str | None


class UsageBody(msgspec.Struct):
    """Totals and breakdowns; the lines of each breakdown add up to the totals."""

    organization_id: str
    from_: str = msgspec.field(name="from")
    to: str
    totals: TotalsBody
    by_provider: list[ShareBody]
    by_model: list[ShareBody]
    by_workflow: list[ShareBody]
    by_job: list[ShareBody]
    by_key: list[ShareBody]
    by_principal: list[ShareBody]
    by_day: list[ShareBody]


class RecordBody(msgspec.Struct):
    """One billable call."""

    id: str
    organization_id: str
    provider: str
    model: str
    modality: str
    status: str
    input_tokens: int
    output_tokens: int
    cost_usd: float
    over_budget_usd: float
    duration_ms: int
    principal_id: str
    principal_kind: str
    workflow_id: str | None
    workflow_run_id: str | None
    node_key: str | None
    job_id: str | None
    request_id: str | None
    created_at: str


class SetBudget(msgspec.Struct, frozen=True):
    """A budget; ``limit_usd`` null is no limit, 0 lets only free calls through."""

    limit_usd: Usd | None
    period: Period = Period.MONTH


class BudgetBody(msgspec.Struct):
    """A budget as it stands; with ``source`` ``default`` it is the configuration's."""

    organization_id: str
    limit_usd: float | None
    period: Period
    source: str
    spent_usd: float
    reserved_usd: float
    remaining_usd: float | None
    period_start: str
    period_end: str


class UsageRoutes:
    """Handlers over the usage service."""

    def __init__(self, usage: UsageService, limits: PageLimits) -> None:
        self._usage = usage
        self._pager = Pager("usage", limits, int, str)

    async def get_usage(self, call: Call) -> UsageBody:
        """Totals and breakdowns."""
        org_id, query = _own(call), call.query
        report = await self._usage.report(org_id, time_of(query.from_, "from"), time_of(query.to, "to"))
        return _report(org_id, report)

    async def list_records(self, call: Call) -> list[RecordBody]:
        """Single calls, newest first."""
        org_id, query = _own(call), call.query
        page = self._pager.read(query)
        found = await self._usage.list_records(
            org_id, time_of(query.from_, "from"), time_of(query.to, "to"), page.after, page.fetch
        )
        kept = self._pager.cut(call, page, found, lambda record: (record.created_at, record.id))
        return [record_body(record) for record in kept]

    async def export_records(self, call: Call) -> web.StreamResponse:
        """The records as CSV, newest first, page by page: memory holds one."""
        org_id, query = _own(call), call.query
        span = time_of(query.from_, "from"), time_of(query.to, "to")
        page = await self._usage.list_records(org_id, *span, None, _CSV_PAGE)
        response = web.StreamResponse(headers={**HEADERS, "X-Request-Id": call.request_id})
        await response.prepare(call.request)
        if call.request.method == "HEAD":
            return response
        await response.write(csv_lines([], with_head=True))
        sent = 0
        while page and sent < CSV_RECORDS_MAX:
            await response.write(csv_lines([record_body(record) for record in page]))
            sent += len(page)
            last = page[-1]
            page = await self._usage.list_records(org_id, *span, (last.created_at, last.id), _CSV_PAGE)
        await response.write_eof()
        return response

    async def get_budget(self, call: Call) -> BudgetBody:
        """The organization's budget, and what is left of it."""
        return _budget(_own(call), self._usage.get_budget(_own(call)))

    async def put_budget(self, call: Call) -> BudgetBody:
        """Give the organization a budget of its own."""
        org_id, body = _own(call), call.body
        return _budget(org_id, await self._usage.set_budget(call.who, Budget(_limit(body), body.period)))

    async def delete_budget(self, call: Call) -> BudgetBody:
        """Let the configuration's budget hold again."""
        return _budget(_own(call), await self._usage.set_budget(call.who, None))


def _own(call: Call) -> str:
    """The organization of the path, which must be the caller's. Raises ``not_found``."""
    org_id = call.param("id")
    if org_id != call.who.org_id:
        raise AlloydError(Code.NOT_FOUND, "organization not found")
    return org_id


def time_of(text: str | None, field: str) -> int | None:
    """A time of a query, or the beginning of a date (UTC), in ms. Raises ``bad_request`` naming ``field``."""
    if text is None:
        return None
    try:
        if len(text) == len("2026-01-31"):
            text = f"{date.fromisoformat(text).isoformat()}T00:00:00Z"
        ms = parse_rfc3339(text)
    except (ValueError, OverflowError):
        wanted = "an RFC 3339 time such as 2026-01-31T12:00:00Z, or a date, is wanted"
        raise bad_request(f"{field}: {wanted}", field) from None
    return max(ms, 0)


def _limit(body: SetBudget) -> int | None:
    if body.limit_usd is None:
        return None
    try:
        return parse_usd(body.limit_usd)
    except ValueError as error:
        raise bad_request(f"limit_usd: {error}", "limit_usd") from None


def _budget(org_id: str, state: BudgetState) -> BudgetBody:
    limit, used = state.budget.limit_micro_usd, state.spent_micro_usd + state.reserved_micro_usd
    return BudgetBody(
        organization_id=org_id,
        limit_usd=None if limit is None else to_usd(limit),
        period=state.budget.period,
        source="organization" if state.own else "default",
        spent_usd=to_usd(state.spent_micro_usd),
        reserved_usd=to_usd(state.reserved_micro_usd),
        remaining_usd=None if limit is None else to_usd(max(0, limit - used)),
        period_start=rfc3339(state.period_start),
        period_end=rfc3339(state.period_end),
    )


def _sums(totals: Totals) -> dict[str, Any]:
    return {
        "calls": totals.calls,
        "failed": totals.failed,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "cost_usd": to_usd(totals.cost_micro_usd),
        "over_budget_usd": to_usd(totals.over_micro_usd),
        "duration_ms": totals.duration_ms,
    }


def totals_body(totals: Totals) -> TotalsBody:
    """``totals`` on the wire."""
    return TotalsBody(**_sums(totals))


def _shares(shares: list[Share], *, days: bool = False) -> list[ShareBody]:
    return [
        ShareBody(
            id=rfc3339(int(share.id))[:10] if days and share.id is not None else share.id,
            kind=share.kind,
            **_sums(share.totals),
        )
        for share in shares
    ]


def _report(org_id: str, report: UsageReport) -> UsageBody:
    return UsageBody(
        organization_id=org_id,
        from_=rfc3339(report.from_ms),
        to=rfc3339(report.to_ms),
        totals=totals_body(report.totals),
        by_provider=_shares(report.by_provider),
        by_model=_shares(report.by_model),
        by_workflow=_shares(report.by_workflow),
        by_job=_shares(report.by_job),
        by_key=_shares(report.by_key),
        by_principal=_shares(report.by_principal),
        by_day=_shares(report.by_day, days=True),
    )


def record_body(record: UsageRecord) -> RecordBody:
    """A record on the wire."""
    used = record.used
    return RecordBody(
        id=record.id,
        organization_id=record.org_id,
        provider=used.provider,
        model=used.model,
        modality=used.modality,
        status=used.status,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost_usd=to_usd(used.cost_micro_usd),
        over_budget_usd=to_usd(record.over_micro_usd),
        duration_ms=used.duration_ms,
        principal_id=record.principal_id,
        principal_kind=record.principal_kind,
        workflow_id=used.workflow_id,
        workflow_run_id=used.run_id,
        node_key=used.node_key,
        job_id=used.job_id,
        request_id=used.request_id,
        created_at=rfc3339(record.created_at),
    )


def routes(usage: UsageService, limits: PageLimits, owner: FindOwner) -> list[Route]:
    """The routes of usage and budgets. ``owner`` finds the organization of an organization's id: itself."""
    handlers = UsageRoutes(usage, limits)
    stem = "/organizations/{id}"
    return [
        Route(
            "GET",
            f"{stem}/usage",
            handlers.get_usage,
            "usage.read",
            "Totals and breakdowns of what billable calls used",
            query=RangeQuery,
            output=UsageBody,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "GET",
            f"{stem}/usage/records",
            handlers.list_records,
            "usage.read",
            "List billable calls, newest first",
            query=RecordsQuery,
            output=list[RecordBody],
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "GET",
            f"{stem}/usage/records.csv",
            handlers.export_records,
            "usage.read",
            "Billable calls as CSV, newest first",
            query=RangeQuery,
            streams=CSV_TYPE,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "GET",
            f"{stem}/budget",
            handlers.get_budget,
            "usage.read",
            "The organization's budget, and what is left of it",
            output=BudgetBody,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "PUT",
            f"{stem}/budget",
            handlers.put_budget,
            "organization.update",
            "Give the organization a budget of its own",
            body=SetBudget,
            output=BudgetBody,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "DELETE",
            f"{stem}/budget",
            handlers.delete_budget,
            "organization.update",
            "Let the budget of the configuration hold again",
            output=BudgetBody,
            statuses=(404,),
            owner=owner,
        ),
    ]
