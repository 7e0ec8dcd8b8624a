"""Schedules as they are made, changed, listed and asked for by definitions."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.domain.idempotency.model import Once
from alloyd.domain.runs.service import RunSettings
from alloyd.domain.schedules.model import CreateSchedule, ScheduleFilter, UpdateSchedule
from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import rfc3339
from tests.domain.schedules.conftest import NODE, World, open_world


def daily(**more: Any) -> dict[str, Any]:
    return {"type": "schedule", "cron": "0 9 * * *", "timezone": "Europe/Berlin", **more}


async def only(world: World) -> Any:
    (found,) = await world.schedules.list_page(world.acme, ScheduleFilter(), None, 10)
    return found


async def test_create_and_show(world: World) -> None:
    made = await world.create("0 9 * * *", timezone="Europe/Berlin", payload={"n": 1}, misfire="skip")
    assert made == await world.schedules.get(world.acme, made.id)
    assert (made.name, made.managed, made.enabled, made.last_fire_at) == ("flow", False, True, None)
    assert await world.next_of(made) == "2026-01-01 08:00"
    (told,) = await world.told("schedule.created")
    assert told["cron"] == "0 9 * * *"


@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({"cron": "nonsense"}, Code.BAD_REQUEST, "cron"),
        ({"cron": "@daily", "timezone": "Moon"}, Code.BAD_REQUEST, "timezone"),
        ({"cron": "@daily", "name": "a\nb"}, Code.BAD_REQUEST, "name"),
        ({"cron": "@daily", "name": "x" * 201}, Code.BAD_REQUEST, "name"),
        ({"cron": "@daily", "workflow_id": "nowhere"}, Code.NOT_FOUND, None),
        ({"cron": "@daily", "payload": {"text": "x" * 1024 * 1024}}, Code.TOO_LARGE, "payload"),
    ],
)
async def test_create_refuses(world: World, more: dict[str, Any], code: Code, field: str | None) -> None:
    with pytest.raises(AlloydError) as caught:
        await world.create(**more)
    assert (caught.value.code, caught.value.field) == (code, field)
    assert await world.told("schedule.created") == []


async def test_an_organization_has_only_so_many(world: World) -> None:
    world.bound(per_org_max=1)
    made = await world.create("@daily")
    with pytest.raises(AlloydError, match="1 schedules") as caught:
        await world.create("@daily", workflow_id=made.workflow_id)
    assert caught.value.code is Code.CONFLICT


async def test_create_once(world: World) -> None:
    once, workflow_id = Once("r", "k", "d"), await world.publish()
    command = CreateSchedule(workflow_id, "@daily")
    first = await world.schedules.create(world.acme, command, once)
    assert await world.schedules.create(world.acme, command, once) == first
    assert len(await world.told("schedule.created")) == 1


async def test_update_works_the_next_time_out_anew(world: World) -> None:
    made = await world.create("0 9 * * *")
    changed = await world.schedules.update(world.acme, made.id, UpdateSchedule(cron="0 10 * * *", name="ten"))
    assert (changed.cron, changed.name, changed.revision) == ("0 10 * * *", "ten", 2)
    assert await world.next_of(made) == "2026-01-01 10:00"
    await world.schedules.update(world.acme, made.id, UpdateSchedule(timezone="Asia/Tokyo"))
    assert await world.next_of(made) == "2026-01-01 01:00"
    await world.schedules.update(world.acme, made.id, UpdateSchedule(payload={"a": 1}, misfire="all"))
    assert await world.next_of(made) == "2026-01-01 01:00"
    assert len(await world.told("schedule.updated")) == 3
    same = await world.schedules.update(world.acme, made.id, UpdateSchedule(misfire="all"))
    assert same.revision == 4
    assert len(await world.told("schedule.updated")) == 3


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (UpdateSchedule(cron="x"), "cron"),
        (UpdateSchedule(timezone="x"), "timezone"),
        (UpdateSchedule(name=" "), "name"),
    ],
)
async def test_update_refuses(world: World, command: UpdateSchedule, field: str) -> None:
    made = await world.create("0 9 * * *")
    with pytest.raises(AlloydError) as caught:
        await world.schedules.update(world.acme, made.id, command)
    assert caught.value.field == field
    assert await world.schedules.get(world.acme, made.id) == made


async def test_pause_and_resume(world: World) -> None:
    made = await world.create("0 * * * *", misfire="all")
    await world.schedules.pause(world.acme, made.id)
    paused = await world.schedules.pause(world.acme, made.id)
    assert (paused.enabled, paused.next_fire_at) == (False, None)
    await world.go_to("2026-01-01T05:30:00Z")
    resumed = await world.schedules.resume(world.acme, made.id)
    assert resumed.enabled
    await world.worker.turn()
    assert await world.fired() == [], "what fell into the pause is not made up for"
    assert await world.next_of(made) == "2026-01-01 06:00"
    assert len(await world.told("schedule.updated")) == 2


async def test_one_may_be_made_paused(world: World) -> None:
    made = await world.create("0 * * * *", enabled=False)
    assert made.next_fire_at is None
    preview = await world.schedules.preview(world.acme, made.id, 2)
    assert [rfc3339(when)[11:16] for when in preview.times] == ["01:00", "02:00"]


async def test_delete(world: World) -> None:
    made = await world.create("0 * * * *")
    await world.go_to("2026-01-01T01:00:00Z")
    await world.schedules.delete(world.acme, made.id)
    assert len(await world.told("schedule.deleted")) == 1
    for call in (world.schedules.get, world.schedules.delete, world.schedules.pause, world.schedules.run_now):
        with pytest.raises(AlloydError) as caught:
            await call(world.acme, made.id)
        assert caught.value.code is Code.NOT_FOUND
    await world.go_to("2026-01-01T05:00:00Z")
    assert len(await world.fired()) == 1


async def test_another_organization_sees_none_of_it(world: World) -> None:
    made, other = await world.create("0 * * * *"), await world.bench.org("other")
    for call in (world.schedules.get, world.schedules.delete, world.schedules.pause, world.schedules.run_now):
        with pytest.raises(AlloydError) as caught:
            await call(other, made.id)
        assert caught.value.code is Code.NOT_FOUND
    with pytest.raises(AlloydError):
        await world.schedules.create(other, CreateSchedule(made.workflow_id, "@daily"))
    assert await world.schedules.list_page(other, ScheduleFilter(), None, 10) == []
    assert await world.schedules.find_organization(made.id) == world.acme.org_id


async def test_run_now(world: World) -> None:
    made = await world.create("0 9 * * *", payload={"n": 1}, enabled=False)
    once = Once("r", "k", "d")
    run_id = await world.schedules.run_now(world.acme, made.id, once)
    assert await world.schedules.run_now(world.acme, made.id, once) == run_id
    assert (await world.bench.detail(run_id)).run.payload["n"] == 1
    (told,) = await world.told("schedule.fired")
    assert told["by_hand"] is True
    assert (await world.schedules.get(world.acme, made.id)).last_fire_at is None


async def test_run_now_refuses_as_a_start_does(tmp_path: Any) -> None:
    async with open_world(tmp_path, bounds=RunSettings(queued_per_org_max=0)) as world:
        made = await world.create("0 9 * * *")
        with pytest.raises(AlloydError) as caught:
            await world.schedules.run_now(world.acme, made.id)
        assert caught.value.code is Code.RATE_LIMITED


async def test_lists(world: World) -> None:
    workflow_id, other_id = await world.publish(), await world.publish("other")
    made = [await world.create("@daily", workflow_id=workflow_id, enabled=n != 1) for n in range(3)]
    await world.create("@daily", workflow_id=other_id)
    of_one = ScheduleFilter(workflow_id=workflow_id)
    assert await world.schedules.list_page(world.acme, of_one, None, 10) == made[::-1]
    assert await world.schedules.list_page(world.acme, of_one, made[2].id, 1) == [made[1]]
    assert await world.schedules.list_page(world.acme, ScheduleFilter(enabled=False), None, 10) == [made[1]]
    assert len(await world.schedules.list_page(world.acme, ScheduleFilter(enabled=True), None, 10)) == 3


# -- what definitions ask for ------------------------------------------------------------------------------------------


async def test_a_definition_has_its_schedule_and_gives_it_up(world: World) -> None:
    await world.publish(trigger=daily(payload={"n": 1}))
    made = await only(world)
    assert (made.managed, made.timezone, made.payload) == (True, "Europe/Berlin", {"n": 1})
    await world.go_to("2026-01-01T08:00:00Z")
    assert await world.fired() == ["2026-01-01 08:00"]

    await world.publish(trigger=daily(cron="0 11 * * *"))
    changed = await only(world)
    assert (changed.id, changed.payload) == (made.id, {})
    assert await world.next_of(changed) == "2026-01-01 10:00"

    await world.publish(trigger={"type": "api"})
    assert await world.schedules.list_page(world.acme, ScheduleFilter(), None, 10) == []
    await world.go_to("2026-01-02T12:00:00Z")
    assert len(await world.fired()) == 1
    assert len(await world.told("schedule.deleted")) == 1


async def test_the_same_trigger_again_loses_no_time_that_is_due(world: World) -> None:
    await world.publish(trigger=daily())
    world.clock.advance(8 * 3_600_000 + 1000)  # due, and the loop has not looked yet
    await world.publish(trigger=daily(), defaults={"run_deadline_ms": 1000})
    await world.worker.turn()
    assert await world.fired() == ["2026-01-01 08:00"]


async def test_a_draft_changes_nothing(world: World) -> None:
    await world.publish(trigger=daily())
    await world.bench.workflows.save(world.acme, {"name": "flow", "trigger": {"type": "api"}})
    assert (await only(world)).managed


async def test_deleting_a_workflow_deletes_its_schedules(world: World) -> None:
    workflow_id = await world.publish(trigger=daily())
    await world.create("0 * * * *", workflow_id=workflow_id)
    kept = await world.create("0 * * * *", workflow_id=await world.publish("other"))
    await world.bench.workflows.delete(world.acme, workflow_id)
    assert await only(world) == kept
    assert len(await world.told("schedule.deleted")) == 2


async def test_a_managed_one_may_be_paused_and_run_but_not_changed(world: World) -> None:
    await world.publish(trigger=daily())
    made = await only(world)
    for change in (
        world.schedules.delete(world.acme, made.id),
        world.schedules.update(world.acme, made.id, UpdateSchedule(cron="@daily")),
    ):
        with pytest.raises(AlloydError) as caught:
            await change
        assert caught.value.code is Code.CONFLICT
    await world.schedules.run_now(world.acme, made.id)
    await world.schedules.pause(world.acme, made.id)
    await world.publish(trigger=daily(cron="0 11 * * *"))
    assert not (await only(world)).enabled, "who paused it decides when it goes on"
    await world.schedules.resume(world.acme, made.id)
    assert await world.next_of(made) == "2026-01-01 10:00"


async def test_faults_of_a_trigger_have_their_place(world: World) -> None:
    with pytest.raises(AlloydError) as caught:
        await world.bench.workflows.save(
            world.acme, {"name": "x", "nodes": [NODE], "trigger": {"type": "schedule", "cron": "61 * * * *"}}
        )
    assert caught.value.code is Code.UNPROCESSABLE
    assert caught.value.details[0]["path"] == "trigger.cron"
