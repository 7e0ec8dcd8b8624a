"""``/v1/schedules`` on the whole program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alloyd.config import TriggersConfig
from tests.app import Served, open_app
from tests.machine import node

STEM = "/schedules"
FIELDS = {
    "id",
    "organization_id",
    "workflow_id",
    "name",
    "cron",
    "timezone",
    "misfire",
    "payload",
    "managed",
    "enabled",
    "next_fire_at",
    "last_fire_at",
    "created_by",
    "created_at",
    "updated_at",
}
LONG_S = 30.0


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path, triggers=TriggersConfig(schedules_per_org_max=3)) as served:
        await served.key("acme")
        yield served


async def made(served: Served, **more: Any) -> Any:
    workflow_id = await served.publish(node("a"))
    body = {"workflow_id": workflow_id, "cron": "0 9 * * *", **more}
    return await served.data("POST", STEM, body, status=201)


async def test_create_and_show(served: Served) -> None:
    data = await made(served, timezone="Europe/Berlin", payload={"n": 1}, idempotency_key="k")
    assert data.keys() == FIELDS
    assert data["next_fire_at"] == "2026-01-01T08:00:00.000Z"
    assert (data["misfire"], data["enabled"], data["managed"], data["last_fire_at"]) == ("once", True, False, None)
    again = await made(served, timezone="Europe/Berlin", payload={"n": 1}, idempotency_key="k")
    assert again == data
    assert await served.data("GET", f"{STEM}/{data['id']}") == data
    assert (await served.kinds()).count("schedule.created") == 1


@pytest.mark.parametrize(
    ("more", "status", "field"),
    [
        ({"cron": "x"}, 400, "cron"),
        ({"cron": "0 0 31 2 *"}, 400, "cron"),
        ({"timezone": "Moon"}, 400, "timezone"),
        ({"misfire": "never"}, 400, "misfire"),
        ({"payload": [1]}, 400, "payload"),
        ({"name": "a\nb"}, 400, "name"),
        ({"workflow_id": "nowhere"}, 404, None),
        ({"organization_id": "nowhere"}, 404, None),
    ],
)
async def test_create_refuses(served: Served, more: dict[str, Any], status: int, field: str | None) -> None:
    workflow_id = await served.publish(node("a"))
    body = {"workflow_id": workflow_id, "cron": "@daily", **more}
    got, envelope, _headers = await served.ask("POST", STEM, body)
    assert got == status
    if field is not None:
        assert envelope["error"]["details"] == {"field": field}


async def test_there_may_be_only_so_many(served: Served) -> None:
    for _ in range(3):
        await made(served)
    status, envelope, _headers = await served.ask(
        "POST", STEM, {"workflow_id": await served.publish(node("a")), "cron": "@daily"}
    )
    assert (status, envelope["error"]["code"]) == (409, "conflict")


async def test_change_pause_resume_delete(served: Served) -> None:
    data = await made(served)
    one = f"{STEM}/{data['id']}"
    changed = await served.data("PATCH", one, {"cron": "0 10 * * *", "misfire": "all"})
    assert (changed["next_fire_at"], changed["misfire"]) == ("2026-01-01T10:00:00.000Z", "all")
    status, envelope, _headers = await served.ask("PATCH", one, {"cron": "x"})
    assert (status, envelope["error"]["details"]) == (400, {"field": "cron"})
    paused = await served.data("POST", f"{one}/pause")
    assert (paused["enabled"], paused["next_fire_at"]) == (False, None)
    resumed = await served.data("POST", f"{one}/resume")
    assert resumed["next_fire_at"] == "2026-01-01T10:00:00.000Z"
    assert await served.data("DELETE", one) == {"id": data["id"]}
    assert (await served.ask("GET", one))[0] == 404


async def test_next_times(served: Served) -> None:
    data = await made(served, cron="30 2 * * *", timezone="Europe/Berlin", enabled=False)
    shown = await served.data("GET", f"{STEM}/{data['id']}/next?count=2")
    assert shown == [
        {"at": "2026-01-01T01:30:00.000Z", "local": "2026-01-01T02:30:00+01:00"},
        {"at": "2026-01-02T01:30:00.000Z", "local": "2026-01-02T02:30:00+01:00"},
    ]
    assert len(await served.data("GET", f"{STEM}/{data['id']}/next")) == 5
    for count in (0, 101):
        assert (await served.ask("GET", f"{STEM}/{data['id']}/next?count={count}"))[0] == 400


async def test_lists(served: Served) -> None:
    all_of_them = [await made(served, enabled=n != 1) for n in range(3)]
    status, page, _headers = await served.ask("GET", f"{STEM}?limit=2")
    assert status == 200
    assert [one["id"] for one in page["data"]] == [one["id"] for one in all_of_them[:0:-1]]
    rest = await served.data("GET", page["links"]["next"].removeprefix("/v1"))
    assert [one["id"] for one in rest] == [all_of_them[0]["id"]]
    assert [one["id"] for one in await served.data("GET", f"{STEM}?enabled=false")] == [all_of_them[1]["id"]]
    assert await served.data("GET", f"{STEM}?workflow_id=nowhere") == []
    assert await served.data("GET", STEM, key="other") == []


async def test_run_now(served: Served) -> None:
    data = await made(served, payload={"n": 1})
    ran = await served.data("POST", f"{STEM}/{data['id']}/run", {"idempotency_key": "k"}, status=202)
    assert await served.data("POST", f"{STEM}/{data['id']}/run", {"idempotency_key": "k"}, status=202) == ran
    run = await served.data("GET", f"/workflow-runs/{ran['run_id']}")
    assert (run["trigger"], run["payload"]["n"]) == ("schedule", 1)
    assert (await served.ask("POST", f"{STEM}/{data['id']}/run", {}, key="acme viewer"))[0] == 403


async def test_the_program_keeps_time_and_hears_events(served: Served) -> None:
    """A schedule's run emits an event, which starts another workflow; all within the daemon's own loops."""
    emit = {"key": "a", "operation": "event.emit", "config": {"kind": "day.begun"}}
    clock = {"type": "schedule", "cron": "0 9 * * *"}
    await served.publish(emit, name="clock", trigger=clock)
    await served.publish(node("b"), name="listener", trigger={"type": "event", "event": "day.*"})
    (managed,) = await served.data("GET", STEM)
    assert managed["managed"]
    assert (await served.ask("DELETE", f"{STEM}/{managed['id']}"))[0] == 409
    ends = served.app.hub.open({served.orgs["acme"]}, kinds=frozenset({"workflow.run.completed"}))
    served.clock.advance(9 * 3_600_000)
    served.app.schedule_worker.wake()
    async with asyncio.timeout(LONG_S):
        ended: list[Any] = []
        while len(ended) < 2:
            await ends.look_up()
            ended += ends.take()
    runs = await served.data("GET", "/workflow-runs")
    assert sorted(run["trigger"] for run in runs) == ["event", "schedule"]


async def test_an_archived_organization_starts_nothing(served: Served) -> None:
    await made(served)
    await served.publish(node("b"), name="listener", trigger={"type": "event", "event": "organization.*"})
    await served.app.orgs.archive(served.orgs["acme"])
    served.clock.advance(48 * 3_600_000)
    await served.app.schedule_worker.turn()
    await served.app.triggers.consumer.settle()
    assert await served.count_runs() == 0
    assert not {"schedule.missed", "workflow.trigger.refused"} & set(await served.kinds())


async def test_the_trail_says_what_was_changed(served: Served) -> None:
    data = await made(served)
    await served.data("PATCH", f"{STEM}/{data['id']}", {"cron": "0 10 * * *", "name": "ten", "misfire": "once"})
    rows = await served.app.database.read(
        lambda conn: conn.execute(
            "SELECT target, changed FROM audit_log WHERE action = 'schedule.write' ORDER BY seq"
        ).fetchall()
    )
    assert [row[0] for row in rows] == [f"schedule:{data['id']}"] * 2
    assert msgspec.json.decode(rows[1][1]) == ["cron", "name"]


async def test_readiness_has_the_schedules(served: Served) -> None:
    async with served.session.get(f"{served.url}/readyz") as response:
        assert response.status == 200
    served.app.schedule_worker.alive = False
    async with served.session.get(f"{served.url}/readyz") as response:
        assert response.status == 503
        assert "schedules are not kept" in await response.text()
