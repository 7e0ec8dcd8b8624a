"""How runs go, in figures: counted as they end, read back after a restart, bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from alloyd.domain.runs import pulse
from alloyd.domain.runs.pulse import Pulse, percentile
from alloyd.domain.users.service import CreateUser
from alloyd.kit.clock import ManualClock
from alloyd.principal import Role
from tests.app import Served, open_app
from tests.people import PASSWORD

GOOD = {"key": "a", "operation": "workflow.noop"}
BAD = {"key": "a", "operation": "transform", "config": {"values": {"x": "{{ trigger.missing }}"}}}
_names = count()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


async def run(served: Served, node: dict[str, Any], slug: str = "acme") -> None:
    workflow = await served.publish(node, slug=slug, name=f"flow-{next(_names)}")
    made = await served.data("POST", "/workflow-runs", {"workflow_definition_id": workflow}, status=201, key=slug)
    await served.data("POST", f"/workflow-runs/{made['id']}/start", status=202, key=slug)
    assert await served.app.runs.wait(await served.principal(slug), made["id"], 30) is not None


async def test_runs_count_by_how_and_when_they_ended(served: Served) -> None:
    await run(served, GOOD)
    served.clock.advance(60_000)
    await run(served, GOOD)
    await run(served, BAD)
    await run(served, GOOD, slug="other")
    pending = {"workflow_definition_id": await served.publish(GOOD, name="pending")}
    made = await served.data("POST", "/workflow-runs", pending, status=201)
    await served.data("POST", f"/workflow-runs/{made['id']}/cancel", status=202)
    seen = await served.data("GET", "/overview")
    told = [(minute["completed"], minute["failed"], minute["cancelled"]) for minute in seen["minutes"]]
    assert told == [(0, 0, 0)] * (pulse.MINUTES - 2) + [(1, 0, 0), (1, 1, 1)]
    assert seen["runs"] == {"queued": 0, "running": 0, "waiting": 0, "dead_letters": 1}
    assert seen["latency"] == {"p50_ms": 0, "p95_ms": 0}
    served.clock.advance(60 * 60_000)
    seen = await served.data("GET", "/overview")
    assert sum(minute["completed"] + minute["failed"] for minute in seen["minutes"]) == 0
    assert seen["latency"] == {"p50_ms": None, "p95_ms": None}


async def test_a_new_process_reads_what_an_earlier_one_counted(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await run(served, GOOD)
    await run(served, BAD)
    later = ManualClock(served.clock.now_ms() + 120_000)
    who = await served.principal()
    seen = await Pulse(served.app.database, later, lambda _org_id: (0, 0)).look(who)
    assert [(minute.completed, minute.failed) for minute in seen.minutes[-3:]] == [(1, 1), (0, 0), (0, 0)]
    assert seen.since == seen.minutes[0].at
    monkeypatch.setattr(pulse, "SEED_ROWS_MAX", 1)
    seen = await Pulse(served.app.database, later, lambda _org_id: (0, 0)).look(who)
    assert [(minute.completed, minute.failed) for minute in seen.minutes[-3:]] == [(0, 1), (0, 0), (0, 0)]
    assert seen.since == served.clock.now_ms()  # what was before is not told as nothing


async def test_as_many_organizations_are_counted_as_there_is_room_for(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "ORGS_MAX", 1)
    for slug in ("acme", "other", "acme"):
        await run(served, GOOD, slug=slug)
    seen = await served.data("GET", "/overview")
    assert sum(minute["completed"] for minute in seen["minutes"]) == 1


async def test_only_platform_admins_see_the_machine(served: Served) -> None:
    assert (await served.data("GET", "/overview"))["platform"] is None
    new = CreateUser("root@example.com", PASSWORD, "acme", Role.VIEWER, platform_admin=True)
    user = await served.app.users.create(new)
    served.keys["root"] = (await served.app.sessions.issue(user.id, None, None)).token
    platform = (await served.data("GET", "/overview", key="root"))["platform"]
    assert platform["disk_total_bytes"] > platform["disk_free_bytes"] > 0
    assert platform["database_bytes"] > 0


@pytest.mark.parametrize("took_ms", [1, 7, 100, 3456, 10_000_000])
def test_durations_are_right_within_a_tenth(took_ms: int) -> None:
    shown = percentile(Counter({pulse._class_of(took_ms): 3}), 0.95)
    assert shown is not None
    assert abs(shown - took_ms) <= max(1, took_ms / 10)


def test_percentiles_of_a_few() -> None:
    classes = Counter(pulse._class_of(ms) for ms in (0, 0, 0, 1000))
    assert percentile(classes, 0.5) == 0
    assert percentile(classes, 0.95) == percentile(Counter({pulse._class_of(1000): 1}), 0.5)
    assert percentile(Counter(), 0.5) is None
