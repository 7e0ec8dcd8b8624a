"""Use cases of end users' runs: an event starts and resumes them; their logs."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from alloyd.db import Database, Tx
from alloyd.domain.embedded.model import (
    TRIGGER_KIND,
    Accepted,
    ErrorEntry,
    LogEntry,
    check_data,
    check_event,
    error_of,
    log_of,
)
from alloyd.domain.endusers.service import require_end_user
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.integrations.installations import find_active_for_event, find_installation
from alloyd.domain.integrations.model import Installation
from alloyd.domain.runs import end_users
from alloyd.domain.runs.event_waits import EventWaits, holds
from alloyd.domain.runs.model import Order, StartRun
from alloyd.domain.runs.service import RunService
from alloyd.domain.workflows.service import WorkflowService
from alloyd.domain.workflows.triggers import EventTrigger, read_trigger
from alloyd.errors import AlloydError, Code
from alloyd.events.model import Event
from alloyd.kit import crash
from alloyd.kit.clock import Clock, rfc3339
from alloyd.kit.expressions import Expression, ExpressionError, compile_expression, truthy
from alloyd.kit.ids import new_id
from alloyd.principal import Principal

REFUSED_KIND = "workflow.trigger.refused"
# What keeps one installation from starting, and is no reason to refuse the event to the others.
_OF_THE_VERSION = (Code.BAD_REQUEST, Code.UNPROCESSABLE)
_MATCHES_CACHED_MAX = 1000


class _ChangedError(Exception):
    """Another version was installed between the look ahead and the write: look again."""


@dataclass(frozen=True, slots=True)
class _Match:
    """What a version's trigger asks of an event beside its name."""

    expression: Expression | None = None
    values: Any = None

    def takes(self, event: dict[str, Any]) -> bool:
        if self.expression is not None:
            try:
                return truthy(self.expression.evaluate({"event": event}))
            except ExpressionError:  # an event that lacks what is asked for is another one
                return False
        return self.values is None or holds(self.values, event["payload"])


class EmbeddedEvents:
    """The only door for events of end users. ``payload_bytes_max`` bounds their data."""

    def __init__(
        self,
        database: Database,
        workflows: WorkflowService,
        runs: RunService,
        waits: EventWaits,
        payload_bytes_max: int,
    ) -> None:
        self._database = database
        self._workflows = workflows
        self._runs = runs
        self._waits = waits
        self._payload_bytes_max = payload_bytes_max
        self._matches: OrderedDict[tuple[str, int], _Match] = OrderedDict()  # versions never change

    async def trigger(
        self, principal: Principal, end_user_id: str, event: str, data: dict[str, Any], once: Once | None = None
    ) -> Accepted:
        """Start what this user has installed and active for ``event``, and resume this user's runs that wait for it.

        One transaction: durable when this returns, and done once, also for copies under the key ``once``. A run gets
        ``data`` as its trigger, the installation's configuration as ``context.configuration``, and is of the installed
        version; a waiting one gets ``data`` as the event's payload. Nothing that matches is accepted too.

        Raises ``bad_request`` (event), ``too_large`` (data), ``not_found`` for a user who is gone, ``rate_limited``
        over the organization's limits, ``unavailable``. Emits ``workflow.run.queued``; ``workflow.trigger.refused``
        where one version can't start. Contract: embedded, "Events".
        """
        check_event(event)
        payload = check_data(data, self._payload_bytes_max)
        once = None if once is None else replace(once, route=route_of(end_user_id))
        while True:
            ahead = await self._database.read(
                lambda conn: find_active_for_event(conn, principal.org_id, end_user_id, event)
            )
            for one in ahead:
                await self._prepare(principal, one)
            while len(self._matches) > max(_MATCHES_CACHED_MAX, 2 * len(ahead)):
                self._matches.popitem(last=False)
            with contextlib.suppress(_ChangedError):
                return await self._trigger(principal, end_user_id, event, data, payload, once, len(ahead))

    async def _trigger(
        self,
        principal: Principal,
        end_user_id: str,
        event: str,
        data: dict[str, Any],
        payload: bytes,
        once: Once | None,
        coming: int,
    ) -> Accepted:
        org_id, admission = principal.org_id, self._runs.admission
        run_ids = [new_id() for _ in range(coming)]
        refusal = next((found for one in run_ids if (found := admission.admit(org_id, one)) is not None), None)

        def write(tx: Tx) -> Accepted:
            if idempotency.find_made(tx, org_id, once) is not None:
                return Accepted(repeated=True)
            if refusal is not None:
                raise refusal
            require_end_user(tx.conn, org_id, end_user_id)
            started = self._start_all(tx, principal, end_user_id, event, data, payload)
            resumed = self._waits.resume(
                tx, org_id, end_user_id, event, data, lambda one: _is_active(tx.conn, org_id, end_user_id, one)
            )
            idempotency.remember_made(tx, org_id, once, end_user_id)
            if tx.was_asked_for:
                tx.audit(f"end_user:{end_user_id}", org_id=org_id)
            crash.reach("embedded.event_written")
            tx.after_commit(lambda: crash.reach("embedded.event_accepted"))
            return Accepted(tuple(started), tuple(resumed))

        try:
            accepted = await self._database.write(write)
        finally:
            for run_id in run_ids:
                admission.forget_coming(org_id, run_id)
        if accepted.repeated and refusal is None:
            for _ in run_ids:
                admission.give_back(org_id)
        return accepted

    def _start_all(
        self, tx: Tx, principal: Principal, end_user_id: str, event: str, data: dict[str, Any], payload: bytes
    ) -> list[str]:
        org_id = principal.org_id
        wire = {
            "kind": event,
            "organization_id": org_id,
            "subject": end_user_id,
            "payload": data,
            "timestamp": rfc3339(tx.now),
        }
        started = []
        for one in find_active_for_event(tx.conn, org_id, end_user_id, event):
            match = self._matches.get((one.workflow_id, one.version))
            if match is None:
                raise _ChangedError
            if not match.takes(wire):
                continue
            context = msgspec.json.encode({"configuration": one.configuration})
            command = StartRun(one.workflow_id, payload, TRIGGER_KIND, context, end_user_id=end_user_id)
            try:
                runnable = self._workflows.find_runnable_in(tx.conn, org_id, one.workflow_id, one.version)
                if runnable is not None:
                    started.append(self._runs.start_within(tx, principal, command, runnable).run_id)
            except AlloydError as error:
                if error.code not in _OF_THE_VERSION:
                    raise
                told = {"event_kind": event, "end_user_id": end_user_id, "reason": error.message}
                tx.emit(Event(org_id, REFUSED_KIND, one.workflow_id, told, workflow_id=one.workflow_id))
        return started

    async def _prepare(self, principal: Principal, one: Installation) -> None:
        """Have at hand what a version needs to start: so that the writer compiles nothing."""
        key = (one.workflow_id, one.version)
        with contextlib.suppress(AlloydError):  # the write tells what is wrong with it
            await self._workflows.get_graph(principal.org_id, *key)
        if key in self._matches:
            self._matches.move_to_end(key)
            return
        match = _Match()
        with contextlib.suppress(AlloydError):
            definition = (await self._workflows.get(principal, *key)).definition
            trigger, _faults = read_trigger(definition.get("trigger"))
            if isinstance(trigger, EventTrigger) and isinstance(trigger.match, str):
                match = _Match(compile_expression(trigger.match, "trigger.match"))
            elif isinstance(trigger, EventTrigger):
                match = _Match(values=trigger.match)
        self._matches[key] = match


class RunLogs:
    """The only door to end users' logs."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list_logs(
        self, principal: Principal, end_user_id: str, workflow_id: str, page: int, limit: int, order: Order = "desc"
    ) -> list[LogEntry]:
        """A page (from 0) of the user's runs of a workflow, newest first; empty beyond the last one.

        Runs that others called are no entries of their own. Contract: embedded, "Operations".
        """
        org_id, now = principal.org_id, self._clock.now_ms()
        found = await self._database.read(
            lambda conn: end_users.list_logged(conn, org_id, end_user_id, workflow_id, order, limit, page * limit)
        )
        return [log_of(run, workflow_id, now) for run in found]

    async def list_errors(
        self, principal: Principal, end_user_id: str, workflow_id: str, page: int, limit: int, order: Order = "desc"
    ) -> list[ErrorEntry]:
        """:meth:`list_logs` of runs that failed; a step that failed with ``on_error: continue`` is none."""
        org_id = principal.org_id
        found = await self._database.read(
            lambda conn: end_users.list_logged_errors(
                conn, org_id, end_user_id, workflow_id, order, limit, page * limit
            )
        )
        return [error_of(error, workflow_id) for error in found]


def route_of(end_user_id: str) -> str:
    """What keys of a user's events are kept under, whichever version of the API they came by: a purge finds them."""
    return f"embedded POST /run/event {end_user_id}"


def _is_active(conn: sqlite3.Connection, org_id: str, end_user_id: str, workflow_id: str) -> bool:
    found = find_installation(conn, org_id, end_user_id, workflow_id)
    return found is not None and found.active
