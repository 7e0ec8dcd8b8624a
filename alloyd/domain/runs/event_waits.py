"""Wakes steps that wait for events: a durable consumer of all events, and signals from outside."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from alloyd.db import Database, Tx
from alloyd.domain.runs import store, store_end_users, store_waits
from alloyd.domain.runs.model import ENDED
from alloyd.domain.runs.waits import CANDIDATE, EVENT, SIGNAL
from alloyd.domain.runs.worker import Engine
from alloyd.errors import conflict, not_found
from alloyd.events.model import Event
from alloyd.kit import crash
from alloyd.kit.clock import rfc3339
from alloyd.principal import Principal

CONSUMER = "event waits"
# Kinds whose patterns are remembered: a daemon tells of few, an embedded API of as many as its callers think of.
KINDS_KNOWN_MAX = 4096
_ALL = ".*"


class EventWaits:
    """What an :class:`alloyd.events.consumer.EventConsumer` called :data:`CONSUMER` asks and hands over."""

    def __init__(self, database: Database, engine: Engine) -> None:
        self._database = database
        self._engine = engine

    async def open(self) -> None:
        """Read what is waited for; before the consumer runs."""

        def read(conn: sqlite3.Connection) -> dict[str, set[str]]:
            return {org_id: store_waits.list_awaited(conn, org_id) for org_id in store_waits.list_waiting_orgs(conn)}

        for org_id, awaited in (await self._database.read(read)).items():
            self._engine.awaited.keep(org_id, awaited)

    def wanted(self, event: Event) -> bool:
        """Whether a run of the event's organization may wait for its kind."""
        awaited = self._engine.awaited
        return awaited.knows(event.org_id) and awaited.has_any(event.org_id, patterns_of(event.kind))

    def handle(self, tx: Tx, events: list[Event]) -> None:
        """Wake those that wait for one of ``events``: each for one only, and for none that came before it."""
        for event in events:
            waits = store_waits.list_event_waits(tx.conn, event.org_id, patterns_of(event.kind), event.id)
            payload = msgspec.json.decode(event.payload) if any(wait[3] is not None for wait in waits) else None
            for wait_id, run_id, step_key, matches, asks in waits:
                if matches is not None and not holds(msgspec.json.decode(matches), payload):
                    continue
                if not asks:
                    store_waits.delete_event_wait(tx, event.org_id, wait_id)
                self._wake(tx, event.org_id, run_id, step_key, CANDIDATE if asks else EVENT, event.to_json())
                crash.reach("engine.event_matched")
        for org_id in {event.org_id for event in events}:
            self._engine.awaited.replace(org_id, store_waits.list_awaited(tx.conn, org_id))

    def resume(
        self,
        tx: Tx,
        org_id: str,
        end_user_id: str,
        event: str,
        data: Any,
        may_resume: Callable[[str], bool],
    ) -> list[str]:
        """In a caller's transaction: wake every run of this end user that waits for the event; their ids.

        ``may_resume(workflow_id)`` is asked for the workflow of the run that others, if any, were called by. ``match``
        holds as for any event.
        """
        woken = []
        payload = {
            "kind": event,
            "organization_id": org_id,
            "subject": end_user_id,
            "payload": data,
            "timestamp": rfc3339(tx.now),
        }
        encoded = msgspec.json.encode(payload)
        for wait_id, run_id, step_key, matches, asks in store_end_users.list_waits(
            tx.conn, org_id, end_user_id, patterns_of(event)
        ):
            if matches is not None and not holds(msgspec.json.decode(matches), data):
                continue
            top = store_end_users.find_top(tx.conn, org_id, run_id)
            if top is None or not may_resume(top[0]):
                continue
            if not asks:
                store_waits.delete_event_wait(tx, org_id, wait_id)
            self._wake(tx, org_id, run_id, step_key, CANDIDATE if asks else EVENT, encoded)
            woken.append(run_id)
        return woken

    async def signal(self, principal: Principal, run_id: str, name: str, data: Any) -> str:
        """Resume the run's step that waits for the event ``name``, or that is called so; the step's key.

        Durable when this returns. Raises ``not_found``, and ``conflict`` when no step waits for it. Emits
        ``workflow.node.signaled``. Contract: control, "Routes".
        """
        org_id = principal.org_id

        def write(tx: Tx) -> str:
            view = store.find_run(tx.conn, org_id, run_id)
            if view is None:
                raise not_found("run")
            found = None if view.state in ENDED else store_waits.find_event_wait(tx.conn, org_id, run_id, name)
            if found is None:
                raise conflict(f"no step of the run waits for {name!r}", "name")
            wait_id, step_key = found
            store_waits.delete_event_wait(tx, org_id, wait_id)
            payload = {"kind": name, "payload": data, "timestamp": rfc3339(tx.now)}
            self._wake(tx, org_id, run_id, step_key, SIGNAL, msgspec.json.encode(payload))
            told = {"name": name, "by": principal.id}
            kind = "workflow.node.signaled"
            tx.emit(Event(org_id, kind, run_id, told, run_id=run_id, workflow_id=view.workflow_id, node_key=step_key))
            return step_key

        return await self._database.write(write)

    def _wake(self, tx: Tx, org_id: str, run_id: str, step_key: str, kind: str, payload: bytes) -> None:
        wakeup = store_waits.insert_wakeup(tx, org_id, run_id, step_key, kind, payload)
        if wakeup is not None:
            tx.after_commit(lambda: self._engine.deliver(org_id, run_id, wakeup))


@lru_cache(KINDS_KNOWN_MAX)
def patterns_of(kind: str) -> tuple[str, ...]:
    """What a wait for this kind may say: ``a.b.c``, ``a.b.*``, ``a.*``."""
    words = kind.split(".")
    return (kind, *(".".join(words[:count]) + _ALL for count in range(len(words) - 1, 0, -1)))


def holds(wanted: Any, given: Any) -> bool:
    """Whether ``given`` has all that ``wanted`` says: an object its keys, anything else is equal."""
    if isinstance(wanted, dict):
        return isinstance(given, dict) and all(
            key in given and holds(value, given[key]) for key, value in wanted.items()
        )
    return (type(wanted) is type(given) and bool(wanted == given)) or _same_number(wanted, given)


def _same_number(wanted: Any, given: Any) -> bool:
    numbers = (int, float)
    if isinstance(wanted, bool) or isinstance(given, bool):
        return False
    return isinstance(wanted, numbers) and isinstance(given, numbers) and wanted == given
