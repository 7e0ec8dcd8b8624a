"""The engine's queue: fair, bounded in memory, nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from alloyd.domain.operations.model import Done
from alloyd.domain.runs import worker
from alloyd.domain.runs.model import RunState, StartRun
from alloyd.domain.runs.queue import RunQueue, Seed
from alloyd.domain.runs.worker import EngineSettings
from tests.engine import open_bench
from tests.machine import node

ASK = node("a", operation="test.ask")
NOOP = node("a")


def take_all(queue: RunQueue) -> list[str]:
    """What is taken until nobody may, without giving anything back."""
    taken = []
    while (seed := queue.take()) is not None:
        taken.append(seed.run_id)
    return taken


def test_organizations_take_turns() -> None:
    queue = RunQueue(100, 100)
    for number in range(4):
        queue.add_started(Seed(f"a{number}", "a", number))
    for number in range(2):
        queue.add_started(Seed(f"b{number}", "b", 10 + number))
    assert take_all(queue) == ["a0", "b0", "a1", "b1", "a2", "a3"]


def test_one_organization_takes_no_more_than_its_share() -> None:
    queue = RunQueue(100, 2)
    for number in range(5):
        queue.add_started(Seed(f"a{number}", "a", number))
    queue.add_started(Seed("b0", "b", 9))
    assert take_all(queue) == ["a0", "b0", "a1"]
    queue.release("a", "a0")
    assert take_all(queue) == ["a2"]


def test_what_is_beyond_the_memory_is_only_counted() -> None:
    queue = RunQueue(2, 100)
    for number in range(5):
        queue.add_started(Seed(f"a{number}", "a", number))
    org = queue.org("a")
    assert (len(org.seeds), org.queued, org.overflow, org.wants_refill) == (2, 5, True, False)
    assert take_all(queue) == ["a0", "a1"]
    assert org.wants_refill
    assert org.last_seq == 1


def test_a_run_that_comes_while_the_table_is_read_is_read_next() -> None:
    queue = RunQueue(1, 100)
    for number in range(2):
        queue.add_started(Seed(f"a{number}", "a", number))
    take_all(queue)
    org = queue.org("a")
    queue.begin_refill(org)
    queue.add_started(Seed("a2", "a", 2))
    queue.end_refill(org, [Seed("a1", "a", 1)], complete=True)
    assert take_all(queue) == ["a1"]
    assert org.wants_refill, "a2 is in the table only"
    queue.begin_refill(org)
    queue.end_refill(org, [Seed("a2", "a", 2)], complete=True)
    assert take_all(queue) == ["a2"]
    assert (org.overflow, org.queued) == (False, 0)


def test_a_run_that_ended_while_the_table_was_read_is_not_begun_again() -> None:
    """A pending run was started, so its place in the order is behind what has been read."""
    queue = RunQueue(1, 100)
    queue.restore({"a": 1})
    queue.add_known("a", "late")
    org = queue.org("a")
    queue.begin_refill(org)
    assert take_all(queue) == ["late"]
    queue.release("a", "late")
    queue.end_refill(org, [Seed("old", "a", 1), Seed("late", "a", 2)], complete=True)
    assert take_all(queue) == ["old"]
    assert org.queued == 0


@pytest.mark.parametrize("when", ["before it is read", "while it is read", "after it was read", "once it is taken"])
def test_a_cancelled_run_is_counted_off_once(when: str) -> None:
    queue = RunQueue(1, 100)
    for number in range(3):
        queue.add_started(Seed(f"a{number}", "a", number))
    assert take_all(queue) == ["a0"]
    org = queue.org("a")
    page = [Seed("a1", "a", 1), Seed("a2", "a", 2)]
    if when == "before it is read":
        queue.forget_queued("a", "a1")
        page = page[1:]
    queue.begin_refill(org)
    if when == "while it is read":
        queue.forget_queued("a", "a1")
    queue.end_refill(org, page, complete=True)
    if when == "after it was read":
        queue.forget_queued("a", "a1")
    taken = take_all(queue)
    if when == "once it is taken":
        queue.forget_queued("a", "a1")
        assert taken == ["a1", "a2"]
    else:
        assert taken == ["a2"]
    assert org.queued == 0


def test_the_table_may_be_quicker_than_the_word() -> None:
    """A start is committed and on the page, and only then is it told."""
    queue = RunQueue(1, 100)
    queue.restore({"a": 0})
    org = queue.org("a")
    queue.begin_refill(org)
    queue.end_refill(org, [Seed("a1", "a", 1)], complete=True)
    assert take_all(queue) == ["a1"]
    queue.add_started(Seed("a1", "a", 1))
    assert take_all(queue) == []
    assert org.queued == 0


def test_waking_twice_is_once() -> None:
    queue = RunQueue(10, 10)
    queue.add_woken("a", "r")
    queue.add_woken("a", "r")
    assert take_all(queue) == ["r"]
    queue.add_woken("a", "r")
    assert take_all(queue) == []
    queue.release("a", "r")
    queue.add_woken("a", "r")
    assert take_all(queue) == ["r"]
    assert queue.queued_of("a") == 0
    assert queue.queued_of("nobody") == 0


def test_organizations_that_have_nothing_are_forgotten() -> None:
    queue = RunQueue(100, 100)
    for number in range(1000):
        queue.add_started(Seed(f"r{number}", f"org{number}", number))
    for run_id in take_all(queue):
        queue.release(f"org{run_id[1:]}", run_id)
    assert queue.take() is None
    assert queue.orgs() == []
    queue.add_started(Seed("again", "org1", 2000))
    assert take_all(queue) == ["again"]


class QueueMachine(RuleBasedStateMachine):
    """The queue beside a table, which is a dict: every run is begun exactly once, in order, and the counts are true."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = RunQueue(3, 2)
        self.table: dict[str, dict[int, str]] = {"a": {}, "b": {}}  # queued runs by seq
        self.pending: list[tuple[str, int, str]] = []
        self.page: dict[str, list[Seed]] = {}
        self.driven: dict[str, tuple[str, int]] = {}
        self.begun: Counter[str] = Counter()
        self.seq = 0

    def _new(self) -> tuple[int, str]:
        self.seq += 1
        return self.seq, f"r{self.seq}"

    @rule(org=st.sampled_from("ab"))
    def start(self, org: str) -> None:
        seq, run_id = self._new()
        self.table[org][seq] = run_id
        self.queue.add_started(Seed(run_id, org, seq))

    @rule(org=st.sampled_from("ab"))
    def create_pending(self, org: str) -> None:
        self.pending.append((org, *self._new()))

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def start_pending(self, data: st.DataObject) -> None:
        org, seq, run_id = self.pending.pop(data.draw(st.integers(0, len(self.pending) - 1)))
        self.table[org][seq] = run_id
        self.queue.add_known(org, run_id)

    @rule()
    def take(self) -> None:
        seed = self.queue.take()
        if seed is None:
            return
        assert seed.run_id not in self.driven, "driven twice at one time"
        seq = int(seed.run_id[1:])
        assert self.table[seed.org_id].get(seq) == seed.run_id, "what is not queued any more was taken"
        self.begun[seed.run_id] += 1
        self.driven[seed.run_id] = (seed.org_id, seq)

    @precondition(lambda self: self.driven)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.driven)))
        org, seq = self.driven.pop(run_id)
        del self.table[org][seq]
        self.queue.release(org, run_id)

    @precondition(lambda self: any(self.table.values()))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        org = data.draw(st.sampled_from([org for org, rows in self.table.items() if rows]))
        seq = data.draw(st.sampled_from(sorted(self.table[org])))
        run_id = self.table[org].pop(seq)
        self.queue.forget_queued(org, run_id)
        if self.driven.pop(run_id, None):
            self.queue.release(org, run_id)

    @rule(org=st.sampled_from("ab"))
    def read_table(self, org: str) -> None:
        queue = self.queue.org(org)
        if queue.wants_refill:
            self.queue.begin_refill(queue)
            rows = sorted((seq, run_id) for seq, run_id in self.table[org].items() if seq > queue.last_seq)
            self.page[org] = [Seed(run_id, org, seq) for seq, run_id in rows[:4]]

    @rule(org=st.sampled_from("ab"))
    def end_reading(self, org: str) -> None:
        page = self.page.pop(org, None)
        if page is not None:
            self.queue.end_refill(self.queue.org(org), page, complete=len(page) < 4)

    @invariant()
    def counts_are_true(self) -> None:
        for org, rows in self.table.items():
            waiting = [run_id for run_id in rows.values() if run_id not in self.driven]
            assert self.queue.queued_of(org) == len(waiting)
            assert self.queue.org(org).running == sum(1 for by, _seq in self.driven.values() if by == org)
        assert all(count == 1 for count in self.begun.values())

    def teardown(self) -> None:
        for _ in range(1000):
            self.take()
            for run_id in list(self.driven):
                org, seq = self.driven.pop(run_id)
                del self.table[org][seq]
                self.queue.release(org, run_id)
            for org in self.table:
                self.read_table(org)
                self.end_reading(org)
            if not any(self.table.values()):
                break
        assert not any(self.table.values()), "a queued run was never begun"


QueueMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestQueueMachine = QueueMachine.TestCase


# -- with the engine --------------------------------------------------------------------------------------------------


async def test_five_thousand_queued_runs_of_one_organization_do_not_delay_another(tmp_path: Path) -> None:
    """The other's run is begun as soon as the engine has a seat: at most one more of the crowd goes before it."""
    settings_ = EngineSettings(running_max=4, running_per_org_max=4, takes_per_turn_max=4)
    async with open_bench(tmp_path, settings_) as bench:
        crowd_id, other_id = await bench.publish(ASK, org="crowd"), await bench.publish(ASK, org="other")
        crowd = await bench.start_many(5000, crowd_id, org="crowd")
        under_way = [await bench.outside.next() for _ in range(4)]
        other = await bench.start(other_id, org="other")
        begun = 0
        for asked in under_way:
            asked.answer()
        while True:
            asked = await bench.outside.next()
            asked.answer()
            if asked.context.run_id == other:
                break
            begun += 1
        assert begun <= 1
        assert (await bench.end(other, org="other")).state is RunState.COMPLETED
        assert bench.engine.queue.queued_of((await bench.org("crowd")).org_id) > 4900
        assert await bench.state(crowd[-1], org="crowd") == "queued"


async def test_never_more_runs_than_the_bounds_allow(tmp_path: Path) -> None:
    async with open_bench(tmp_path, EngineSettings(running_max=5, running_per_org_max=3)) as bench:
        one, two = await bench.publish(ASK, org="one"), await bench.publish(ASK, org="two")
        ids = {"one": await bench.start_many(10, one, org="one"), "two": await bench.start_many(10, two, org="two")}
        for _ in range(20):
            asked = await bench.outside.next()
            await bench.settled_but(bench.engine.running_count)
            assert bench.engine.running_count <= 5
            assert all(queue.running <= 3 for queue in bench.engine.queue.orgs())
            asked.answer()
        for org, run_ids in ids.items():
            await bench.ends(run_ids, org=org)


async def test_bounds_can_be_raised_while_it_runs(tmp_path: Path) -> None:
    async with open_bench(tmp_path, EngineSettings(running_max=1)) as bench:
        ids = await bench.start_many(3, await bench.publish(ASK))
        asked = [await bench.outside.next()]
        bench.engine.set_bounds(3, 3)
        asked += [await bench.outside.next() for _ in range(2)]
        for one in asked:
            one.answer()
        await bench.ends(ids)


async def test_what_overflows_comes_back_in_order_without_loss_or_repeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starts, pending starts and cancels go on while the table is read back."""
    monkeypatch.setattr(worker, "_REFILL_PAGE", 20)
    async with open_bench(tmp_path, EngineSettings(running_max=1, seeds_per_org_max=5)) as bench:
        workflow_id = await bench.publish(ASK)
        principal = await bench.org()
        started = [await bench.start(workflow_id) for _ in range(60)]
        pending = [
            (await bench.runs.create(principal, StartRun(workflow_id, b"{}", "control"))).run.id for _ in range(10)
        ]
        cancelled: set[str] = set()
        begun: list[str] = []
        more = 0
        while len(begun) < 60 + 40 + 10 - len(cancelled):
            asked = await bench.outside.next()
            begun.append(asked.context.run_id)
            if more < 40:
                more += 1
                started.append(await bench.start(workflow_id))
            if pending and len(begun) % 3 == 0:
                await bench.runs.start_pending(principal, pending.pop())
            if len(begun) % 10 == 0:
                victim = next(run_id for run_id in reversed(started) if run_id not in (*begun, *cancelled))
                await bench.runs.cancel(principal, victim)
                cancelled.add(victim)
            asked.answer(Done())
            await bench.end(begun[-1])
        await bench.settled()
        assert max(Counter(begun).values()) == 1
        assert set(started) - cancelled <= set(begun)
        assert [run_id for run_id in begun if run_id in set(started)] == [
            run_id for run_id in started if run_id not in cancelled
        ], "the order of the starts"
        assert bench.engine.queue.queued_count == 0
        assert bench.outside.waiting == 0


async def test_what_is_started_before_work_begins_waits_behind_what_the_last_process_left(tmp_path: Path) -> None:
    """The port is open before the queue is read back."""
    async with open_bench(tmp_path, starts=False) as before:
        workflow_id = await before.publish(ASK)
        old = [await before.start(workflow_id) for _ in range(3)]
        principal = await before.org()
        pending = (await before.runs.create(principal, StartRun(workflow_id, b"{}", "control"))).run.id
    async with open_bench(tmp_path, EngineSettings(running_max=1), starts=False) as bench:
        principal = await bench.org()
        new = [await bench.start(workflow_id) for _ in range(3)]
        await bench.runs.start_pending(principal, pending)
        await bench.runs.cancel(principal, new[1])
        starting = asyncio.create_task(bench.engine.start())
        meanwhile = [await bench.start(workflow_id) for _ in range(3)]
        await starting
        wanted = [*old, pending, new[0], new[2], *meanwhile]
        assert bench.engine.queue.queued_of(principal.org_id) in (len(wanted), len(wanted) - 1)
        begun = []
        for _ in wanted:
            asked = await bench.outside.next()
            begun.append(asked.context.run_id)
            asked.answer()
        assert begun == wanted
        await bench.ends(begun)
        await bench.settled()
        assert (bench.engine.queue.queued_count, bench.outside.waiting) == (0, 0)


async def test_starts_come_faster_than_they_can_be_taken(tmp_path: Path) -> None:
    async with open_bench(tmp_path, EngineSettings(seeds_per_org_max=50)) as bench:
        workflow_id = await bench.publish(NOOP)
        groups = await asyncio.gather(*(bench.start_many(100, workflow_id) for _ in range(10)))
        ids = [run_id for group in groups for run_id in group]
        assert {ended.state for ended in await bench.ends(ids)} == {RunState.COMPLETED}
        await bench.settled()
        assert bench.engine.ended_total == 1000
        assert await bench.count("events") == 1000 * 5 + 2  # and those of the organization and the workflow
