"""Which events some run waits for, in memory: so that all the others cost a look into a set."""

from __future__ import annotations

from collections.abc import Iterable, Set

from alloyd.db import Tx
from alloyd.domain.runs import store_waits

# Events of an organization, before those that nobody waits for any more are looked for.
KNOWN_MIN = 1000


class Awaited:
    """By organization, more than there are, never less. Changed on the writer's thread, before the commit."""

    def __init__(self) -> None:
        self._events: dict[str, frozenset[str]] = {}
        self._known_max: dict[str, int] = {}

    def knows(self, org_id: str) -> bool:
        """Whether any of the organization's runs may wait for an event."""
        return org_id in self._events

    def has_any(self, org_id: str, patterns: Iterable[str]) -> bool:
        """Whether one of ``patterns`` may be waited for."""
        events = self._events.get(org_id)
        return events is not None and not events.isdisjoint(patterns)

    def add(self, tx: Tx, org_id: str, event: str) -> None:
        """A step is about to wait for this event."""
        events: Set[str] = self._events.get(org_id, frozenset())
        if event in events:
            return
        if len(events) < self._known_max.get(org_id, KNOWN_MIN):
            self._events[org_id] = frozenset(events | {event})
        else:
            self.replace(org_id, store_waits.list_awaited(tx.conn, org_id) | {event})

    def replace(self, org_id: str, events: Set[str]) -> None:
        """The organization's runs wait for these, and no others."""
        if events:
            self._events[org_id] = frozenset(events)
            self._known_max[org_id] = max(KNOWN_MIN, 2 * len(events))
        else:
            self._events.pop(org_id, None)
            self._known_max.pop(org_id, None)

    def keep(self, org_id: str, events: Set[str]) -> None:
        """These too."""
        self.replace(org_id, self._events.get(org_id, frozenset()) | events)
