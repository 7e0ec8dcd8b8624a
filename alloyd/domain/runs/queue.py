"""What waits for the engine: a queue for each organization, taken from in turn, bounded in memory.

The first runs of an organization wait in memory with all that is needed to begin them; what comes beyond that is only
in the table, and is read back in pages in the order of the starts. Pure bookkeeping: no clock, no database.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from alloyd.domain.workflows.model import Graph


@dataclass(slots=True)
class Seed:
    """A run that waits to be driven. Without ``graph`` it is read from the table first."""

    run_id: str
    org_id: str
    seq: int = 0
    workflow_id: str = ""
    version: int = 0
    graph: Graph | None = None
    payload: bytes = b""
    context: bytes = b""
    started_by: str = ""
    trigger_kind: str = ""
    end_user_id: str | None = None
    counted: bool = True  # whether it is one of the organization's queued runs, not a waiting one that moves on


@dataclass(slots=True)
class OrgQueue:
    """One organization's share."""

    org_id: str
    seeds: deque[Seed] = field(default_factory=deque)
    queued: int = 0  # in memory and in the table
    running: int = 0
    overflow: bool = False  # more is in the table than in memory
    more_came: bool = False
    refilling: bool = False
    left: set[str] = field(default_factory=set)  # runs that were done with while the table was read
    last_seq: int = 0

    @property
    def wants_refill(self) -> bool:
        """Whether the table has to be read to go on."""
        return self.overflow and not self.seeds and not self.refilling

    @property
    def idle(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self.seeds or self.queued or self.running or self.overflow or self.refilling)


class RunQueue:
    """Fair between organizations: each turn takes one run of the next organization that has one and may."""

    def __init__(self, seeds_per_org_max: int, running_per_org_max: int) -> None:
        self._orgs: OrderedDict[str, OrgQueue] = OrderedDict()
        self._seeds_per_org_max = seeds_per_org_max
        self.running_per_org_max = running_per_org_max
        self._known: set[str] = set()

    def org(self, org_id: str) -> OrgQueue:
        """The organization's queue, made at its first use."""
        queue = self._orgs.get(org_id)
        if queue is None:
            queue = self._orgs[org_id] = OrgQueue(org_id)
        return queue

    def orgs(self) -> list[OrgQueue]:
        """All queues."""
        return list(self._orgs.values())

    @property
    def queued_count(self) -> int:
        """Queued runs of all organizations, in memory or not."""
        return sum(queue.queued for queue in self._orgs.values())

    def queued_of(self, org_id: str) -> int:
        """How many runs of the organization are queued, in memory or not."""
        queue = self._orgs.get(org_id)
        return queue.queued if queue else 0

    def running_of(self, org_id: str) -> int:
        """Runs of one organization that were taken and not given back."""
        queue = self._orgs.get(org_id)
        return queue.running if queue else 0

    def counts_only(self, org_id: str) -> bool:
        """A run was queued just now, and there is no room for its seed in memory: it is counted, and that is all.

        False, and nothing done, when there is room: then :meth:`add_started`.
        """
        queue = self.org(org_id)
        if not queue.overflow:
            return False
        queue.queued += 1
        queue.more_came = True
        return True

    def add_started(self, seed: Seed) -> None:
        """A run was queued just now, durably."""
        queue = self.org(seed.org_id)
        queue.queued += 1
        if queue.overflow or len(queue.seeds) >= self._seeds_per_org_max:
            queue.overflow = True
            queue.more_came = True
            return
        queue.last_seq = max(queue.last_seq, seed.seq)
        self._append(queue, seed)

    def add_woken(self, org_id: str, run_id: str) -> None:
        """A waiting run can move on; asking twice is the same as once."""
        self._append(self.org(org_id), Seed(run_id, org_id, counted=False))

    def add_known(self, org_id: str, run_id: str) -> None:
        """A queued run whose place in the order is behind what has been read already."""
        queue = self.org(org_id)
        queue.queued += 1
        self._append(queue, Seed(run_id, org_id))

    def restore(self, counts: Mapping[str, int]) -> None:
        """After a start: so many runs of each organization are queued in the table, and are read from there.

        What came before work began is among them: it waits behind what the last process left.
        """
        for queue in self._orgs.values():
            self._known.difference_update(seed.run_id for seed in queue.seeds)
            queue.seeds.clear()
            queue.queued = queue.last_seq = 0
        for org_id, queued in counts.items():
            queue = self.org(org_id)
            queue.queued, queue.overflow = queued, True

    def begin_refill(self, queue: OrgQueue) -> None:
        """The table is about to be read from ``queue.last_seq`` on."""
        queue.refilling, queue.more_came = True, False
        queue.left.clear()

    def end_refill(self, queue: OrgQueue, page: list[Seed], complete: bool) -> None:
        """``page`` was read; ``complete`` when it was the last one."""
        queue.refilling = False
        for seed in page:
            queue.last_seq = max(queue.last_seq, seed.seq)
            if seed.run_id not in queue.left:
                self._append(queue, seed)
        if complete and not queue.more_came:
            queue.overflow = False

    def forget_queued(self, org_id: str, run_id: str) -> None:
        """A queued run was ended before it was taken."""
        queue = self.org(org_id)
        if run_id in self._known:
            seed = next((seed for seed in queue.seeds if seed.run_id == run_id), None)
            if seed is None:
                return  # taken already, and counted off then
            queue.seeds.remove(seed)
            self._known.discard(run_id)
        self._note_left(queue, run_id)
        queue.queued -= 1

    def take(self) -> Seed | None:
        """The next run to drive; None when nobody has one that may run now."""
        for _ in range(len(self._orgs)):
            org_id, queue = next(iter(self._orgs.items()))
            if queue.idle:  # or each turn would look at everybody who ever started something
                del self._orgs[org_id]
                continue
            self._orgs.move_to_end(org_id)
            if queue.seeds and queue.running < self.running_per_org_max:
                seed = queue.seeds.popleft()
                queue.running += 1
                if seed.counted:
                    queue.queued -= 1  # below zero for an instant, when the table was quicker than the commit's hook
                return seed
        return None

    def release(self, org_id: str, run_id: str) -> None:
        """A taken run is not driven any more."""
        queue = self.org(org_id)
        queue.running -= 1
        self._known.discard(run_id)
        self._note_left(queue, run_id)

    @staticmethod
    def _note_left(queue: OrgQueue, run_id: str) -> None:
        if queue.refilling:  # the page that is being read may still hold it
            queue.left.add(run_id)

    def _append(self, queue: OrgQueue, seed: Seed) -> None:
        if seed.run_id in self._known:
            return
        self._known.add(seed.run_id)
        queue.seeds.append(seed)
