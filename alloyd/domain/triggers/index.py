"""Which workflows an event may start: in memory, asked for every event there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from alloyd.domain.workflows.triggers import EventTrigger, PathPattern, StorageTrigger, is_heard
from alloyd.events.model import Event
from alloyd.kit.expressions import Expression, compile_expression, truthy

CREATED, UPDATED, DELETED, MOVED = (f"storage_file.{change}" for change in ("created", "updated", "deleted", "moved"))


@dataclass(frozen=True, slots=True)
class Armed:
    """A workflow's trigger, ready to be asked. ``since`` in ms since the epoch: what is older starts nothing."""

    org_id: str
    workflow_id: str
    since: int
    trigger_kind: str  # event or storage
    kinds: tuple[str, ...]  # order.* for all that begin so
    path: PathPattern | None = None
    changes: frozenset[str] = frozenset()
    expression: Expression | None = None
    values: dict[str, Any] | None = None

    def may_match(self, event: Event) -> bool:
        """Whether time and place fit; the payload is looked at only for a move."""
        if event.created_at < self.since:
            return False
        if self.path is None:
            return True
        if not self.path.matches(event.subject):
            return False
        if event.kind != MOVED:
            return event.kind in self.changes
        # A file that comes in from elsewhere is new here: that is how finished ones are often handed over.
        moved_from = msgspec.json.decode(event.payload).get("from")
        return CREATED in self.changes and not (isinstance(moved_from, str) and self.path.matches(moved_from))

    def matches(self, wire: dict[str, Any]) -> bool:
        """Whether ``match`` holds for the event as streams show it. Raises ``ExpressionError``."""
        if self.expression is not None:
            return truthy(self.expression.evaluate({"event": wire}))
        return self.values is None or _includes(wire["payload"], self.values)


def arm(org_id: str, workflow_id: str, since: int, trigger: EventTrigger | StorageTrigger) -> Armed:
    """Make a checked trigger ready."""
    if isinstance(trigger, StorageTrigger):
        changes = frozenset(f"storage_file.{change}" for change in trigger.on)
        kinds = tuple(sorted(changes | {MOVED} if CREATED in changes else changes))
        return Armed(org_id, workflow_id, since, "storage", kinds, path=PathPattern(trigger.path), changes=changes)
    expression = compile_expression(trigger.match, "trigger.match") if isinstance(trigger.match, str) else None
    values = trigger.match if isinstance(trigger.match, dict) else None
    return Armed(org_id, workflow_id, since, "event", (trigger.event,), expression=expression, values=values)


@dataclass(slots=True)
class _OfOrg:
    exact: dict[str, dict[str, Armed]] = field(default_factory=dict)  # by kind and workflow
    by_prefix: dict[str, dict[str, Armed]] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()


class TriggerIndex:
    """All armed triggers. Changed on the event loop only; the writer's thread reads it too."""

    def __init__(self) -> None:
        self._armed: dict[str, Armed] = {}  # by workflow
        self._orgs: dict[str, _OfOrg] = {}

    def put(self, armed: Armed) -> None:
        """The workflow's one trigger from now on."""
        self.remove(armed.workflow_id)
        self._armed[armed.workflow_id] = armed
        of_org = self._orgs.setdefault(armed.org_id, _OfOrg())
        for kind in armed.kinds:
            if kind.endswith(".*"):
                of_org.by_prefix.setdefault(kind[:-1], {})[armed.workflow_id] = armed
            else:
                of_org.exact.setdefault(kind, {})[armed.workflow_id] = armed
        of_org.prefixes = tuple(of_org.by_prefix)

    def remove(self, workflow_id: str) -> None:
        """Nothing starts the workflow any more; nothing if nothing did."""
        armed = self._armed.pop(workflow_id, None)
        if armed is None:
            return
        of_org = self._orgs[armed.org_id]
        for table in (of_org.exact, of_org.by_prefix):
            for kind in [kind for kind, workflows in table.items() if workflows.pop(workflow_id, None)]:
                if not table[kind]:
                    del table[kind]
        of_org.prefixes = tuple(of_org.by_prefix)
        if not of_org.exact and not of_org.by_prefix:
            del self._orgs[armed.org_id]

    def remove_all(self, org_id: str) -> None:
        """Nothing starts any of the organization's workflows any more."""
        for workflow_id in [armed.workflow_id for armed in self._armed.values() if armed.org_id == org_id]:
            self.remove(workflow_id)

    def wants(self, event: Event) -> bool:
        """Whether the event may start something: the cheap question for every one."""
        of_org = self._orgs.get(event.org_id)
        if of_org is None or not (event.kind in of_org.exact or event.kind.startswith(of_org.prefixes)):
            return False
        return next(self.find(event), None) is not None

    def find(self, event: Event) -> Iterator[Armed]:
        """The triggers that the event may start, but for what ``match`` says."""
        of_org = self._orgs.get(event.org_id)
        if of_org is None or not is_heard(event.kind):
            return
        found = dict(of_org.exact.get(event.kind, ()))
        for prefix in of_org.prefixes:
            if event.kind.startswith(prefix):
                found.update(of_org.by_prefix.get(prefix, ()))
        for armed in found.values():
            if armed.may_match(event):
                yield armed


def _includes(value: Any, wanted: Any) -> bool:
    """Whether ``value`` has all that ``wanted`` has; an object may have more."""
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(
            key in value and _includes(value[key], inside) for key, inside in wanted.items()
        )
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    found: bool = value == wanted
    return found
