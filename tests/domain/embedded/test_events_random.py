"""Any order of events, activations, upgrades and restarts does what a plain model says, each event once."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alloyd.domain.idempotency.model import Once
from tests.embedded import Embedded, open_embedded, waits

USERS = ("ada", "bob")
# By workflow: what starts it, and what its runs wait for.
FLOWS = {"one": ("start", "go"), "two": ("start", "start"), "three": ("go", "on")}

step = st.one_of(
    st.tuples(st.just("tell"), st.sampled_from(USERS), st.sampled_from(("start", "go", "on", "else"))),
    st.tuples(st.just("again"), st.sampled_from(USERS), st.just("")),
    st.tuples(st.just("switch"), st.sampled_from(USERS), st.sampled_from(tuple(FLOWS))),
    st.tuples(st.just("restart"), st.just(""), st.just("")),
)


@dataclass
class Model:
    """What there has to be."""

    active: dict[tuple[str, str], bool] = field(default_factory=lambda: {(u, f): True for u in USERS for f in FLOWS})
    waiting: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    done: list[str] = field(default_factory=list)

    def starts(self, user: str, event: str) -> list[str]:
        """The workflows that the event starts."""
        return [flow for flow, (start, _wait) in FLOWS.items() if start == event and self.active[(user, flow)]]

    def resumes(self, user: str, event: str) -> list[str]:
        """The runs that the event resumes."""
        return [
            run_id
            for flow, (_start, wait) in FLOWS.items()
            if wait == event and self.active[(user, flow)]
            for run_id in self.waiting[(user, flow)]
        ]


async def play(directory: Path, steps: list[tuple[str, str, str]]) -> None:
    model, ids, sent = Model(), dict[str, str](), 0
    left = list(steps)
    first, last = True, dict[str, tuple[str, Once]]()
    while first or left:
        async with open_embedded(directory) as world:
            if first:
                for flow, (start, wait) in FLOWS.items():
                    ids[flow] = await world.offer(waits(wait), name=flow, event=start)
                    for user in USERS:
                        await world.install(ids[flow], user)
            first = False
            while left:
                what, user, which = left.pop(0)
                if what == "restart":
                    break
                if what == "switch":
                    turn = model.active[(user, which)]
                    await (world.deactivate if turn else world.activate)(ids[which], user)
                    model.active[(user, which)] = not turn
                elif what == "again" and user in last:
                    event, once = last[user]
                    assert (await world.tell(event, user=user, once=once)).repeated
                elif what == "tell":
                    sent += 1
                    last[user] = (which, Once("r", f"k{sent}", "d"))
                    await tell(world, model, user, which, last[user][1], ids)
    async with open_embedded(directory) as world:
        states = await world.bench.database.read(
            lambda conn: dict(conn.execute("SELECT id, state FROM runs").fetchall())
        )
    wanted = dict.fromkeys(model.done, "completed")
    wanted |= {run_id: "waiting" for runs in model.waiting.values() for run_id in runs}
    assert states == wanted


async def tell(world: Embedded, model: Model, user: str, event: str, once: Once, ids: dict[str, str]) -> None:
    """One event; what it did is compared with the model, and waited for."""
    resumes, starts = model.resumes(user, event), model.starts(user, event)
    accepted = await world.tell(event, user=user, once=once)
    assert sorted(accepted.resumed) == sorted(resumes)
    started = {(await world.bench.detail(run_id)).run.workflow_id: run_id for run_id in accepted.started}
    assert sorted(started) == sorted(ids[flow] for flow in starts)
    for run_id in resumes:
        await world.bench.end(run_id)
        model.done.append(run_id)
    for runs in model.waiting.values():
        runs[:] = [run_id for run_id in runs if run_id not in resumes]
    for flow in starts:
        run_id = started[ids[flow]]
        await world.bench.until_told(run_id, "waiting wait")
        model.waiting[(user, flow)].append(run_id)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(step, min_size=1, max_size=14))
def test_events_do_what_the_model_says(steps):
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(play(Path(directory), steps))
