"""Starts workflows by events: a durable consumer that starts each run in the write that passes its event."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from alloyd.db import Database, Tx
from alloyd.domain.runs.end_users import find_end_user
from alloyd.domain.runs.model import StartRun
from alloyd.domain.runs.service import RunService
from alloyd.domain.triggers import store
from alloyd.domain.triggers.index import Armed, TriggerIndex, arm
from alloyd.domain.workflows.service import Published, WorkflowService
from alloyd.domain.workflows.triggers import EventTrigger, StorageTrigger, read_trigger
from alloyd.errors import AlloydError, Code
from alloyd.events.consumer import EventConsumer
from alloyd.events.hub import Hub
from alloyd.events.model import Event
from alloyd.events.service import EventLog
from alloyd.kit.expressions import ExpressionError, MissingError
from alloyd.log import get_logger
from alloyd.principal import system_principal

log = get_logger("alloyd.triggers")

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])

CONSUMER = "triggers"
REFUSED_KIND = "workflow.trigger.refused"


class TriggerService:
    """Keeps the triggers of published versions and acts on them. ``await open()`` before :meth:`run`.

    ``chain_max()``: how many runs in a row may each be started by an event of the one before.
    """

    def __init__(
        self,
        database: Database,
        hub: Hub,
        event_log: EventLog,
        workflows: WorkflowService,
        runs: RunService,
        chain_max: Callable[[], int],
    ) -> None:
        self._database = database
        self._workflows = workflows
        self._runs = runs
        self._chain_max = chain_max
        self._index = TriggerIndex()
        self.consumer = EventConsumer(database, hub, event_log, CONSUMER, self._index.wants, self._handle)
        workflows.watch_publishing(self._take_over)

    async def open(self) -> None:
        """Read all triggers; from now on no event is missed."""
        for row in await self._database.read(store.list_all):
            trigger, faults = read_trigger(row.definition)
            if isinstance(trigger, EventTrigger | StorageTrigger) and not faults:
                self._index.put(arm(row.org_id, row.workflow_id, row.since, trigger))
            else:  # it was sound when it was published: an older program's
                log.error("a trigger can't be read any more", workflow_id=row.workflow_id)
        await self.consumer.start()

    async def run(self) -> None:
        """Start workflows for ever."""
        await self.consumer.run()

    def _take_over(self, tx: Tx, published: Published) -> None:
        """In the transaction that publishes or deletes: the old version's trigger is gone with it."""
        org_id, workflow_id, trigger = published.org_id, published.workflow_id, published.trigger
        if isinstance(trigger, EventTrigger | StorageTrigger) and published.trigger_json is not None:
            since = store.save(tx, org_id, workflow_id, published.trigger_json)
            armed = arm(org_id, workflow_id, since, trigger)
            tx.after_commit(lambda: self._index.put(armed))
        else:
            store.delete(tx, org_id, workflow_id)
            tx.after_commit(lambda: self._index.remove(workflow_id))

    def end_of_organization(self, tx: Tx, org_id: str) -> None:
        """In the transaction that archives an organization: its triggers are gone."""
        store.delete_all(tx, org_id)
        tx.after_commit(lambda: self._index.remove_all(org_id))

    # -- on the writer's thread ------------------------------------------------------------------------------

    def _handle(self, tx: Tx, events: list[Event]) -> None:
        for event in events:
            armed_ones = list(self._index.find(event))
            if not armed_ones:
                continue
            wire = msgspec.json.decode(event.to_json())
            run_id, depth, end_user_id = _find_cause(event, wire), 0, None
            if run_id is not None:
                depth = self._runs.find_trigger_depth(tx, event.org_id, run_id) + 1
                end_user_id = find_end_user(tx.conn, event.org_id, run_id)
            for armed in armed_ones:
                self._start(tx, armed, event, wire, depth, end_user_id)

    def _start(
        self, tx: Tx, armed: Armed, event: Event, wire: dict[str, object], depth: int, end_user_id: str | None
    ) -> None:
        try:
            if not armed.matches(wire):
                return
        except MissingError:  # an event that lacks what is asked for is another one
            return
        except ExpressionError as error:
            self._refuse(tx, armed, event, f"match: {error}")
            return
        chain_max = self._chain_max()
        if depth > chain_max:
            reason = f"{depth} runs in a row were started by events of each other; triggers.chain_max is {chain_max}"
            self._refuse(tx, armed, event, reason)
            return
        # As with a payload that is posted: what is written for `trigger.amount` works however the run is started.
        payload = msgspec.json.encode({**_MEMBERS.decode(event.payload), "event": msgspec.Raw(event.to_json())})
        # What an end user's run brings about is that user's, and is purged with the rest.
        command = StartRun(armed.workflow_id, payload, armed.trigger_kind, end_user_id=end_user_id)
        try:
            runnable = self._workflows.find_runnable_in(tx.conn, armed.org_id, armed.workflow_id)
            if runnable is not None:
                self._runs.start_within(tx, system_principal(armed.org_id), command, runnable, trigger_depth=depth)
        except AlloydError as error:
            if error.code is Code.UNAVAILABLE:  # the disk is nearly full: the consumer waits and tries again
                raise
            self._refuse(tx, armed, event, error.message)

    def _refuse(self, tx: Tx, armed: Armed, event: Event, reason: str) -> None:
        """Tell why an event started nothing. Such events start nothing themselves."""
        payload = {"event_id": str(event.id), "event_kind": event.kind, "reason": reason}
        tx.emit(Event(armed.org_id, REFUSED_KIND, armed.workflow_id, payload, workflow_id=armed.workflow_id))


def _find_cause(event: Event, wire: dict[str, dict[str, object]]) -> str | None:
    """The run that brought the event about; None when no run did."""
    if event.run_id is None and event.kind.startswith("storage_"):
        told = wire["payload"].get("run_id")
        return told if isinstance(told, str) else None
    return event.run_id
