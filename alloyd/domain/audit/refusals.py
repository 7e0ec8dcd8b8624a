"""Refusals on their way to the trail: kept for a moment, written together, and bounded: else anybody fills the disk.

In each minute an address has so many rows, and all addresses together so many. What is beyond is counted, and told when
the minute is over: in one row for each address that had rows, and one for all the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Network, ip_address

from alloyd.db.note import FAILED, REFUSED, Note, note_of
from alloyd.domain.audit.model import AuditSettings
from alloyd.kit.clock import Clock
from alloyd.kit.stamp import ANONYMOUS, Stamp

WINDOW_MS = 60_000
SUPPRESSED = "audit.suppress"
# What a single subscriber has of IPv6 is a network: counted by address, it would have endless ones.
_IPV6_PREFIX = 64


class RefusalLog:
    """Takes refusals on the event loop; :meth:`take` hands on what is to be written."""

    def __init__(self, clock: Clock, settings: Callable[[], AuditSettings]) -> None:
        self._clock = clock
        self._settings = settings
        self._window = 0
        self._waiting: list[Note] = []
        self._taken: Counter[str] = Counter()
        self._suppressed: Counter[str] = Counter()
        self._suppressed_of_others = 0

    def add(self, stamp: Stamp, target: str, failed: bool) -> None:  # what the server's callback gives
        """Remember one refusal, or count it. ``failed``: a credential was tried and is wrong."""
        self._turn_over()
        note = note_of(stamp, stamp.org_id, target)
        note.outcome = FAILED if failed else REFUSED
        settings, caller = self._settings(), network_of(note.address)
        if self._taken[caller] < settings.refusals_per_address_max and self._taken.total() < settings.refusals_max:
            self._taken[caller] += 1
            self._waiting.append(note)
        elif self._taken[caller]:
            self._suppressed[caller] += 1
        else:
            del self._taken[caller]
            self._suppressed_of_others += 1

    def take(self) -> list[Note]:
        """What waits to be written; it waits no more."""
        self._turn_over()
        waiting, self._waiting = self._waiting, []
        return waiting

    def close(self) -> list[Note]:
        """:meth:`take` at the daemon's end, with the counts so far."""
        self._tell_suppressed()
        return self.take()

    def give_back(self, notes: list[Note]) -> None:
        """What could not be written waits on, as far as a minute's bound allows: the disk may stay full for long."""
        self._waiting = (notes + self._waiting)[: self._settings().refusals_max]

    def _turn_over(self) -> None:
        window = self._clock.now_ms() // WINDOW_MS
        if window != self._window:
            self._window = window
            self._tell_suppressed()
            self._taken.clear()

    def _tell_suppressed(self) -> None:
        nobody = Note("", ANONYMOUS, "", SUPPRESSED, outcome=REFUSED)
        for caller, count in self._suppressed.items():
            self._waiting.append(replace(nobody, address=caller, count=count))
        if self._suppressed_of_others:
            self._waiting.append(replace(nobody, count=self._suppressed_of_others))
        self._suppressed.clear()
        self._suppressed_of_others = 0


def network_of(address: str) -> str:
    """Whom an address is counted to: itself, or with IPv6 the network that one subscriber has."""
    if ":" not in address:
        return address
    return str(IPv6Network((ip_address(address).packed, _IPV6_PREFIX), strict=False))
