"""Use cases of schedules: create, show, list, change, pause, resume, delete, run now, preview."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import msgspec

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.runs.service import RunService, refuse_denied_run
from alloyd.domain.schedules import store
from alloyd.domain.schedules.firing import start_run
from alloyd.domain.schedules.model import (
    CreateSchedule,
    Preview,
    Schedule,
    ScheduleFilter,
    ScheduleSettings,
    UpdateSchedule,
    check_name,
    read_cron,
    zone_of,
)
from alloyd.domain.workflows.service import Published, WorkflowService
from alloyd.domain.workflows.triggers import ScheduleTrigger
from alloyd.errors import AlloydError, Code, conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.clock import Clock
from alloyd.kit.ids import new_id
from alloyd.principal import Principal

_WHAT = "schedule"
_CHANGEABLE = ("cron", "timezone", "name", "misfire", "payload", "enabled")


class ScheduleService:
    """The only door to schedules. ``on_change`` is called after a commit that may bring a time nearer."""

    def __init__(
        self,
        database: Database,
        workflows: WorkflowService,
        runs: RunService,
        clock: Clock,
        settings: Callable[[], ScheduleSettings],
        on_change: Callable[[], None],
    ) -> None:
        self._database = database
        self._workflows = workflows
        self._runs = runs
        self._clock = clock
        self._settings = settings
        self._on_change = on_change
        workflows.watch_publishing(self._take_over)

    # -- writing ---------------------------------------------------------------------------------------------

    async def create(self, principal: Principal, command: CreateSchedule, once: Once | None = None) -> Schedule:
        """Start the workflow at the times of ``command.cron`` from now on.

        ``once`` is an idempotency key. Raises ``bad_request`` naming ``cron``, ``timezone``, ``name`` or ``payload``,
        ``not_found`` for an unknown workflow or one with nothing to run, ``conflict`` when the organization has as many
        schedules as it may. Emits ``schedule.created``.
        """
        cron = read_cron(command.cron, command.timezone)
        payload = self._check_payload(command.payload or {})
        workflow = await self._workflows.get_runnable(principal.org_id, command.workflow_id)
        refuse_denied_run(principal, command.workflow_id)
        name = check_name(command.name or workflow.name)
        org_id, schedule_id, per_org_max = principal.org_id, new_id(), self._settings().per_org_max

        def write(tx: Tx) -> Schedule:
            known = idempotency.find_made(tx, org_id, once)
            if known is not None:
                return _get(tx, org_id, known)
            if self._workflows.find_runnable_in(tx.conn, org_id, workflow.workflow_id) is None:
                raise not_found("workflow")
            if store.count(tx.conn, org_id) >= per_org_max:
                raise conflict(f"the organization has {per_org_max} schedules, the most it may have")
            schedule = Schedule(
                schedule_id,
                org_id,
                workflow.workflow_id,
                name,
                command.cron,
                command.timezone,
                command.misfire,
                payload,
                False,
                None if command.enabled else tx.now,
                cron.next_after(tx.now) if command.enabled else None,
                None,
                1,
                principal.id,
                tx.now,
                tx.now,
            )
            self._insert(tx, schedule)
            idempotency.remember_made(tx, org_id, once, schedule_id)
            return schedule

        return await self._database.write(write)

    async def update(self, principal: Principal, schedule_id: str, command: UpdateSchedule) -> Schedule:
        """Change some of it; another cron, time zone, or enabling it makes the next time be worked out anew from now.

        Raises as :meth:`create`, and ``conflict`` for one that a workflow's definition asks for, unless only
        ``enabled`` changes. Emits ``schedule.updated``, or nothing when nothing changes.
        """
        payload = None if command.payload is None else self._check_payload(command.payload)
        name = None if command.name is None else check_name(command.name)
        only_enabled = replace(command, enabled=None) == UpdateSchedule()

        def write(tx: Tx) -> Schedule:
            old = _get(tx, principal.org_id, schedule_id)
            if command.enabled is not False or not only_enabled:  # whoever may not start it may still pause it
                refuse_denied_run(principal, old.workflow_id)
            if old.managed and not only_enabled:
                raise _managed()
            changed = replace(
                old,
                cron=old.cron if command.cron is None else command.cron,
                timezone=old.timezone if command.timezone is None else command.timezone,
                name=name or old.name,
                misfire=command.misfire or old.misfire,
                payload=old.payload if payload is None else payload,
            )
            if command.enabled is not None and command.enabled != old.enabled:
                changed = replace(changed, paused_at=None if command.enabled else tx.now)
            new = self._update(tx, old, changed)
            if new != old:
                tx.audit(changed=[name for name in _CHANGEABLE if getattr(new, name) != getattr(old, name)])
            return new

        return await self._database.write(write)

    async def pause(self, principal: Principal, schedule_id: str) -> Schedule:
        """Let it start nothing until it is resumed. Raises ``not_found``. Emits ``schedule.updated``, or nothing when
        it is paused already."""
        return await self.update(principal, schedule_id, UpdateSchedule(enabled=False))

    async def resume(self, principal: Principal, schedule_id: str) -> Schedule:
        """From now on; what fell into the pause is not made up for. Otherwise as :meth:`pause`."""
        return await self.update(principal, schedule_id, UpdateSchedule(enabled=True))

    async def delete(self, principal: Principal, schedule_id: str) -> None:
        """Raises ``not_found``, and ``conflict`` for one that a definition asks for. Emits ``schedule.deleted``."""

        def write(tx: Tx) -> None:
            schedule = _get(tx, principal.org_id, schedule_id)
            if schedule.managed:
                raise _managed()
            self._delete(tx, schedule)

        await self._database.write(write)

    async def run_now(self, principal: Principal, schedule_id: str, once: Once | None = None) -> str:
        """Start a run as the schedule would, whether it is paused or not; the run's id. Its times stay as they are.

        Raises ``not_found``, ``conflict`` when the workflow has nothing to run, ``rate_limited``, ``unavailable``.
        Emits ``schedule.fired``.
        """
        org_id = principal.org_id

        def write(tx: Tx) -> str:
            known = idempotency.find_made(tx, org_id, once)
            if known is not None:
                return known
            schedule = _get(tx, org_id, schedule_id)
            refuse_denied_run(principal, schedule.workflow_id)
            run_id = start_run(tx, schedule, tx.now, self._workflows, self._runs, by=principal)
            idempotency.remember_made(tx, org_id, once, run_id)
            return run_id

        return await self._database.write(write)

    # -- reading ---------------------------------------------------------------------------------------------

    async def get(self, principal: Principal, schedule_id: str) -> Schedule:
        """Raises ``not_found``."""
        found = await self._database.read(lambda conn: store.find(conn, principal.org_id, schedule_id))
        if found is None:
            raise not_found(_WHAT)
        return found

    async def list_page(
        self, principal: Principal, wanted: ScheduleFilter, before_id: str | None, limit: int
    ) -> list[Schedule]:
        """A page of the organization's schedules, newest first."""
        return await self._database.read(lambda conn: store.list_page(conn, principal.org_id, wanted, before_id, limit))

    async def find_organization(self, schedule_id: str) -> str | None:
        """Whose schedule it is; None when there is none of that id."""
        return await self._database.read(lambda conn: store.find_organization(conn, schedule_id))

    async def preview(self, principal: Principal, schedule_id: str, count: int) -> Preview:
        """Its next ``count`` times, as if it were not paused. Raises ``not_found``."""
        schedule = await self.get(principal, schedule_id)
        zone = zone_of(schedule)
        cron = read_cron(schedule.cron, schedule.timezone)
        return Preview(list(islice(cron.times_after(self._clock.now_ms()), count)), zone)

    def end_of_organization(self, tx: Tx, org_id: str) -> None:
        """In the transaction that archives an organization: its schedules are paused."""
        store.pause_all(tx, org_id)

    # -- what definitions ask for ------------------------------------------------------------------------------

    def _take_over(self, tx: Tx, published: Published) -> None:
        """In the transaction that publishes or deletes a workflow: its definition's trigger becomes its schedule."""
        org_id, trigger = published.org_id, published.trigger
        known = store.list_of_workflow(tx.conn, org_id, published.workflow_id)
        managed = next((schedule for schedule in known if schedule.managed), None)
        if published.deleted:
            for schedule in known:
                self._delete(tx, schedule)
        elif not isinstance(trigger, ScheduleTrigger):
            if managed is not None:
                self._delete(tx, managed)
        elif managed is None:
            cron = read_cron(trigger.cron, trigger.timezone)
            schedule = Schedule(
                new_id(),
                org_id,
                published.workflow_id,
                published.name,
                trigger.cron,
                trigger.timezone,
                trigger.misfire,
                trigger.payload,
                True,
                None,
                cron.next_after(tx.now),
                None,
                1,
                published.by,
                tx.now,
                tx.now,
            )
            self._insert(tx, schedule)
        else:
            changed = replace(
                managed,
                cron=trigger.cron,
                timezone=trigger.timezone,
                misfire=trigger.misfire,
                payload=trigger.payload,
            )
            self._update(tx, managed, changed)

    # -- inside a transaction ----------------------------------------------------------------------------------

    def _insert(self, tx: Tx, schedule: Schedule) -> None:
        store.insert(tx, schedule)
        tx.emit(_event(schedule, "schedule.created"))
        tx.after_commit(self._on_change)

    def _update(self, tx: Tx, old: Schedule, changed: Schedule) -> Schedule:
        if changed == old:
            return old
        moved = (changed.cron, changed.timezone) != (old.cron, old.timezone)
        cron = read_cron(changed.cron, changed.timezone) if moved or changed.enabled else None
        if cron is None or not changed.enabled:
            changed = replace(changed, next_fire_at=None)
        elif moved or old.next_fire_at is None:
            changed = replace(changed, next_fire_at=cron.next_after(tx.now))
        changed = replace(changed, revision=old.revision + 1, updated_at=tx.now)
        store.update(tx, changed)
        tx.emit(_event(changed, "schedule.updated"))
        tx.after_commit(self._on_change)
        return changed

    def _delete(self, tx: Tx, schedule: Schedule) -> None:
        store.delete(tx, schedule.org_id, schedule.id)
        tx.emit(_event(schedule, "schedule.deleted"))

    def _check_payload(self, payload: dict[str, Any]) -> dict[str, Any]:
        bytes_max = self._settings().payload_bytes_max - 1024  # room for what every run is told of its schedule
        if len(msgspec.json.encode(payload)) > bytes_max:
            raise AlloydError(Code.TOO_LARGE, f"payload: larger than {bytes_max} bytes", field="payload")
        return payload


def _get(tx: Tx, org_id: str, schedule_id: str) -> Schedule:
    found = store.find(tx.conn, org_id, schedule_id)
    if found is None:
        raise not_found(_WHAT)
    return found


def _managed() -> AlloydError:
    return conflict("the workflow's definition asks for this schedule: publish a version with another trigger")


def _event(schedule: Schedule, kind: str) -> Event:
    payload = {
        "name": schedule.name,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "enabled": schedule.enabled,
        "managed": schedule.managed,
    }
    return Event(schedule.org_id, kind, schedule.id, payload, workflow_id=schedule.workflow_id)
