"""``/v1/schedules``: workflows that are started by the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from alloyd.domain.schedules.model import (
    PREVIEW_MAX,
    CreateSchedule,
    Schedule,
    ScheduleFilter,
    UpdateSchedule,
)
from alloyd.domain.schedules.service import ScheduleService
from alloyd.domain.workflows.triggers import Misfire
from alloyd.kit.clock import rfc3339
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.fields import Cron, IdempotencyKey, Name, NameOrNone, TimeZone
from alloyd.wire.idempotency import read_once
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import Call, Route


class CreateScheduleBody(msgspec.Struct, frozen=True, kw_only=True):
    """A new schedule. `payload` is the runs' trigger; it gets a member `schedule` unless it has one."""

    workflow_id: str
    cron: Cron
    timezone: TimeZone = "UTC"
    name: NameOrNone = ""
    misfire: Misfire = "once"
    payload: dict[str, Any] = {}
    enabled: bool = True
    organization_id: str | None = None
    idempotency_key: IdempotencyKey | None = None


class UpdateScheduleBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be changed; what is not named stays."""

    cron: Cron | None = None
    timezone: TimeZone | None = None
    name: Name | None = None
    misfire: Misfire | None = None
    payload: dict[str, Any] | None = None
    enabled: bool | None = None


class RunBody(msgspec.Struct, frozen=True, kw_only=True):
    """A run out of turn."""

    idempotency_key: IdempotencyKey | None = None


class ScheduleQuery(PageQuery, frozen=True, kw_only=True):
    """The filters of the list."""

    workflow_id: str | None = None
    enabled: bool | None = None
    organization_id: str | None = None


class NextQuery(msgspec.Struct, frozen=True):
    """How many times to show."""

    count: Annotated[int, Meta(ge=1, le=PREVIEW_MAX)] = 5


class ScheduleJson(msgspec.Struct):
    """A schedule. `managed`: its workflow's definition asks for it."""

    id: str
    organization_id: str
    workflow_id: str
    name: str
    cron: str
    timezone: str
    misfire: Misfire
    payload: dict[str, Any]
    managed: bool
    enabled: bool
    next_fire_at: str | None
    last_fire_at: str | None
    created_by: str
    created_at: str
    updated_at: str


class Due(msgspec.Struct):
    """A time at which a schedule will be due; `local` is what the clocks of its zone show."""

    at: str
    local: str


class RanJson(msgspec.Struct):
    """The run that was started."""

    run_id: str
    schedule_id: str


class DeletedJson(msgspec.Struct):
    """The id of what is gone."""

    id: str


class Schedules:
    """The handlers of `/v1/schedules`."""

    def __init__(self, schedules: ScheduleService, limits: PageLimits) -> None:
        self._schedules = schedules
        self._pager = Pager("schedules", limits, str)

    async def post_schedule(self, call: Call) -> ScheduleJson:
        """`POST /v1/schedules`."""
        body: CreateScheduleBody = call.body
        organization_of(call, body.organization_id)
        command = CreateSchedule(
            body.workflow_id, body.cron, body.timezone, body.name, body.misfire, body.payload, body.enabled
        )
        return _json(await self._schedules.create(call.who, command, read_once(call, body.idempotency_key)))

    async def list_schedules(self, call: Call) -> list[ScheduleJson]:
        """`GET /v1/schedules`, newest first."""
        query: ScheduleQuery = call.query
        organization_of(call, query.organization_id)
        page = self._pager.read(query)
        wanted = ScheduleFilter(query.workflow_id, query.enabled)
        found = await self._schedules.list_page(call.who, wanted, page.after[0] if page.after else None, page.fetch)
        kept = self._pager.cut(call, page, found, lambda schedule: (schedule.id,))
        return [_json(schedule) for schedule in kept]

    async def get_schedule(self, call: Call) -> ScheduleJson:
        """`GET /v1/schedules/{id}`."""
        return _json(await self._schedules.get(call.who, call.param("id")))

    async def get_next(self, call: Call) -> list[Due]:
        """`GET /v1/schedules/{id}/next`."""
        preview = await self._schedules.preview(call.who, call.param("id"), call.query.count)
        return [
            Due(rfc3339(when), datetime.fromtimestamp(when // 1000, UTC).astimezone(preview.zone).isoformat())
            for when in preview.times
        ]

    async def patch_schedule(self, call: Call) -> ScheduleJson:
        """`PATCH /v1/schedules/{id}`."""
        body: UpdateScheduleBody = call.body
        command = UpdateSchedule(**msgspec.structs.asdict(body))
        return _json(await self._schedules.update(call.who, call.param("id"), command))

    async def delete_schedule(self, call: Call) -> DeletedJson:
        """`DELETE /v1/schedules/{id}`."""
        await self._schedules.delete(call.who, call.param("id"))
        return DeletedJson(call.param("id"))

    async def pause_schedule(self, call: Call) -> ScheduleJson:
        """`POST /v1/schedules/{id}/pause`."""
        return _json(await self._schedules.pause(call.who, call.param("id")))

    async def resume_schedule(self, call: Call) -> ScheduleJson:
        """`POST /v1/schedules/{id}/resume`."""
        return _json(await self._schedules.resume(call.who, call.param("id")))

    async def run_schedule(self, call: Call) -> RanJson:
        """`POST /v1/schedules/{id}/run`."""
        body: RunBody = call.body
        once = read_once(call, body.idempotency_key)
        return RanJson(await self._schedules.run_now(call.who, call.param("id"), once), call.param("id"))


def _json(schedule: Schedule) -> ScheduleJson:
    return ScheduleJson(
        schedule.id,
        schedule.org_id,
        schedule.workflow_id,
        schedule.name,
        schedule.cron,
        schedule.timezone,
        schedule.misfire,
        schedule.payload,
        schedule.managed,
        schedule.enabled,
        None if schedule.next_fire_at is None else rfc3339(schedule.next_fire_at),
        None if schedule.last_fire_at is None else rfc3339(schedule.last_fire_at),
        schedule.created_by,
        rfc3339(schedule.created_at),
        rfc3339(schedule.updated_at),
    )


def routes(schedules: ScheduleService, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    api = Schedules(schedules, limits)
    return [*_whole_routes(api), *_single_routes(api, schedules), *_doing_routes(api, schedules)]


def _whole_routes(api: Schedules) -> list[Route]:
    return [
        Route(
            "POST",
            "/schedules",
            api.post_schedule,
            "schedule.write",
            "Start a workflow at the times of a cron expression",
            body=CreateScheduleBody,
            output=ScheduleJson,
            status=201,
            statuses=(404, 409, 413),
        ),
        Route(
            "GET",
            "/schedules",
            api.list_schedules,
            "schedule.read",
            "List schedules, newest first",
            query=ScheduleQuery,
            output=list[ScheduleJson],
            statuses=(404,),
        ),
    ]


def _single_routes(api: Schedules, schedules: ScheduleService) -> list[Route]:
    one, owner = "/schedules/{id}", schedules.find_organization
    return [
        Route(
            "GET",
            one,
            api.get_schedule,
            "schedule.read",
            "Show a schedule",
            output=ScheduleJson,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "GET",
            f"{one}/next",
            api.get_next,
            "schedule.read",
            "When a schedule will be due, as if it were not paused",
            query=NextQuery,
            output=list[Due],
            statuses=(404, 422),
            owner=owner,
        ),
        Route(
            "PATCH",
            one,
            api.patch_schedule,
            "schedule.write",
            "Change a schedule; what is not named stays",
            body=UpdateScheduleBody,
            output=ScheduleJson,
            statuses=(404, 409, 413),
            owner=owner,
        ),
        Route(
            "DELETE",
            one,
            api.delete_schedule,
            "schedule.write",
            "Delete a schedule",
            output=DeletedJson,
            statuses=(404, 409),
            owner=owner,
        ),
    ]


def _doing_routes(api: Schedules, schedules: ScheduleService) -> list[Route]:
    one, owner = "/schedules/{id}", schedules.find_organization
    return [
        Route(
            "POST",
            f"{one}/pause",
            api.pause_schedule,
            "schedule.write",
            "Let a schedule start nothing until it is resumed",
            output=ScheduleJson,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "POST",
            f"{one}/resume",
            api.resume_schedule,
            "schedule.write",
            "Let a paused schedule go on; what fell into the pause is not made up for",
            output=ScheduleJson,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "POST",
            f"{one}/run",
            api.run_schedule,
            "workflow.run",
            "Start a run now, out of turn",
            body=RunBody,
            output=RanJson,
            status=202,
            statuses=(404, 409, 429),
            owner=owner,
        ),
    ]
