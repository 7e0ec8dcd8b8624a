from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from alloyd.domain.idempotency.model import Once
from alloyd.domain.integrations.model import InstallationFilter
from alloyd.domain.operations.model import Done
from alloyd.errors import AlloydError, Code
from tests.embedded import Embedded, open_embedded, waits

CANARY = "QANARY-of-ada"
LARGE = CANARY * 60  # more than a part of a page, and less than the bound of an event

# Data in every place that a run has one.
EVERYWHERE = [
    {
        "key": "keep",
        "operation": "workflow.merge_context",
        "config": {"values": {"kept": "{{ trigger.text * 1 if False else trigger.text }}"}},
    },
    {"key": "say", "operation": "event.emit", "config": {"kind": "said.it", "payload": {"t": "{{ trigger.text }}"}}},
    {
        "key": "each",
        "operation": "workflow.foreach",
        "depends_on": ["keep"],
        "config": {
            "items": ["{{ trigger.text }}", "{{ trigger.text }}", "b"],
            "concurrency": 2,
            "nodes": [{"key": "t", "operation": "transform", "config": {"values": {"item": "{{ item }}"}}}],
        },
    },
    {"key": "wait", "operation": "workflow.wait_event", "depends_on": ["each"], "config": {"event": "go"}},
    {"key": "ask", "operation": "test.ask", "depends_on": ["wait.received"], "config": {"value": "{{ trigger }}"}},
]


@pytest.fixture
async def world(tmp_path):
    async with open_embedded(tmp_path) as opened:
        yield opened


def places_of(directory: Path, text: str = CANARY) -> list[str]:
    """Files that hold the text."""
    return [path.name for path in directory.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


async def fill(world: Embedded, user: str, text: str) -> list[str]:
    """Runs of the user in all states, with the text in all places; those that are unfinished."""
    for number in range(3):
        (done,) = (await world.tell("begin", {"text": text, "n": number}, user)).started
        await world.bench.until_told(done, "waiting wait")
        await world.tell("go", {"text": text}, user)
        asked = await world.bench.outside.next()
        if number == 1:
            asked.outcome.set_exception(RuntimeError(text))
        elif number == 2:
            asked.answer(Done({"said": text}, context={"more": text}))
        else:
            asked.fail()
        await world.bench.end(done)
    (waiting,) = (await world.tell("begin", {"text": text}, user)).started
    await world.bench.until_told(waiting, "waiting wait")
    (asking,) = (await world.tell("begin", {"text": text}, user, once=Once("r", f"key-of-{text[:60]}", "d"))).started
    await world.bench.until_told(asking, "waiting wait")
    await world.tell("go", {"text": text}, user)
    await world.bench.outside.next()
    await world.bench.outside.next()
    return [waiting, asking]


async def rows(world: Embedded, user_id: str) -> int:
    found: int = await world.bench.database.read(
        lambda conn: conn.execute("SELECT count(*) FROM runs WHERE end_user_id = ?", (user_id,)).fetchone()[0]
    )
    return found


async def test_no_byte_of_the_users_runs_is_left_and_the_others_stay(world: Embedded, tmp_path):
    workflow_id = await world.offer(*EVERYWHERE)
    await world.install(workflow_id)
    await world.install(workflow_id, "bob")
    await fill(world, "ada", LARGE)
    await fill(world, "bob", "BOBS-data" * 80)
    await fill(world, "ada", CANARY)
    delivered = await world.bench.database.read(
        lambda conn: conn.execute("SELECT org_id, id, payload FROM events WHERE kind = 'said.it'").fetchall()
    )
    await world.bench.database.write(
        lambda tx: tx.executemany(
            "INSERT INTO webhook_deliveries (id, org_id, webhook_id, event_id, kind, body, state, created_at) "
            "VALUES (?, ?, 'w', ?, 'said.it', ?, 'pending', 0)",
            [(f"d{event_id}", org_id, str(event_id), payload) for org_id, event_id, payload in delivered],
        )
    )
    assert places_of(tmp_path)
    bobs = await rows(world, await world.user("bob"))
    count = await rows(world, await world.user())
    assert await world.purge() == count
    assert places_of(tmp_path) == []
    assert await rows(world, await world.user()) == 0
    assert await rows(world, await world.user("bob")) == bobs
    left = await world.bench.database.read(
        lambda conn: [
            conn.execute(f"SELECT count(*) FROM {table} WHERE run_id NOT IN (SELECT id FROM runs)").fetchone()[0]
            for table in ("run_steps", "foreach_items", "wakeups", "event_waits", "timers", "run_slots", "events")
        ]
    )
    assert left == [0] * 7
    assert (
        await world.bench.database.read(
            lambda conn: conn.execute("SELECT count(*) FROM webhook_deliveries").fetchone()[0]
        )
        == 5
    )


async def test_the_user_the_installation_and_the_organizations_log_stay(world: Embedded):
    await world.install(await world.offer(waits()))
    await world.start_waiting()
    assert await world.purge() == 1
    assert await world.purge() == 0
    (installation,) = await world.installations.list_page(await world.bench.org(), InstallationFilter(), None, 10)
    assert installation.active
    assert len((await world.tell()).started) == 1
    told = await world.bench.database.read(
        lambda conn: conn.execute("SELECT subject, payload FROM events WHERE kind = 'end_user.purged'").fetchall()
    )
    assert [payload for _subject, payload in told] == ['{"runs":1}', '{"runs":0}']
    assert {subject for subject, _payload in told} == {await world.user()}


async def test_what_runs_is_ended_first(world: Embedded):
    await world.install(await world.offer({"key": "ask", "operation": "test.ask"}))
    (run_id,) = (await world.tell()).started
    asked = await world.bench.outside.next()
    assert await world.purge() == 1
    assert asked.interrupted
    await world.bench.settled()
    with pytest.raises(AlloydError) as refused:
        await world.bench.detail(run_id)
    assert refused.value.code is Code.NOT_FOUND


async def test_a_purge_that_was_asked_for_is_done_in_the_next_life(tmp_path):
    async with open_embedded(tmp_path) as world:
        await world.install(await world.offer(*EVERYWHERE))
        await fill(world, "ada", CANARY)
        world.purges._list_tops = stuck  # type: ignore[method-assign]
        asking = asyncio.create_task(world.purge())
        while not await world.bench.database.read(
            lambda conn: conn.execute("SELECT 1 FROM end_user_purges").fetchone()
        ):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    async with open_embedded(tmp_path) as world:
        async with asyncio.timeout(30):
            while await world.bench.database.read(
                lambda conn: conn.execute("SELECT 1 FROM end_user_purges").fetchone()
            ):
                await asyncio.sleep(0)
        assert await rows(world, await world.user()) == 0
        assert places_of(tmp_path) == []


async def stuck(_purge: object) -> list[str]:
    """Nothing goes on."""
    return await asyncio.get_running_loop().create_future()


async def test_a_purge_that_fails_is_told_and_tried_again(world: Embedded, monkeypatch):
    monkeypatch.setattr("alloyd.domain.embedded.purge.RETRY_S", 0)
    await world.install(await world.offer(waits()))
    await world.start_waiting()
    real, failures = world.purges._settle, [AlloydError(Code.UNAVAILABLE, "the disk is full")]

    async def settle() -> None:
        if failures:
            raise failures.pop()
        await real()

    world.purges._settle = settle
    with pytest.raises(AlloydError) as refused:
        await world.purge()
    assert refused.value.code is Code.UNAVAILABLE
    async with asyncio.timeout(30):
        while await rows(world, await world.user()):
            await asyncio.sleep(0)


async def test_many_who_ask_are_all_told(world: Embedded):
    await world.install(await world.offer(waits()))
    await world.start_waiting()
    async with asyncio.timeout(30):
        counts = await asyncio.gather(*(world.purge() for _ in range(20)))
    assert 1 in counts
    assert set(counts) <= {0, 1}


async def test_what_starts_meanwhile_stays(world: Embedded):
    await world.install(await world.offer(waits()))
    await world.start_waiting()
    real, later = world.purges._settle, []

    async def settle() -> None:
        if not later:
            later.extend((await world.tell()).started)
        await real()

    world.purges._settle = settle
    assert await world.purge() == 1
    assert await rows(world, await world.user()) == 1
    await world.bench.until_told(later[0], "waiting wait")


async def test_a_tree_that_is_larger_than_a_part_is_taken_whole(world: Embedded, monkeypatch):
    monkeypatch.setattr("alloyd.domain.embedded.purge.ROWS_PER_WRITE", 7)
    each = {"key": "each", "operation": "workflow.foreach"}
    each["config"] = {"items": list(range(20)), "nodes": [waits()]}
    await world.install(await world.offer(each))
    (run_id,) = (await world.tell()).started
    await world.bench.until_told(run_id, "waiting each")
    assert await world.purge() > 1
    assert await world.bench.count("runs") == 0


async def until_no_purge(world: Embedded) -> None:
    """Wait until all purges are done."""
    async with asyncio.timeout(30):
        while await world.bench.database.read(lambda conn: conn.execute("SELECT 1 FROM end_user_purges").fetchone()):
            await asyncio.sleep(0)


async def test_a_deleted_user_s_runs_end_and_are_purged(world: Embedded, tmp_path):
    workflow_id = await world.offer(*EVERYWHERE)
    await world.install(workflow_id)
    await world.install(workflow_id, "bob")
    await fill(world, "ada", LARGE)
    await fill(world, "bob", "BOBS-data")
    user_id, bobs = await world.user(), await rows(world, await world.user("bob"))
    assert places_of(tmp_path)
    await world.end_users.delete(await world.bench.org(), "ada")
    await until_no_purge(world)
    assert await rows(world, user_id) == 0
    assert places_of(tmp_path) == []
    assert await rows(world, await world.user("bob")) == bobs


async def test_a_deleted_user_is_purged_in_the_next_life(tmp_path):
    async with open_embedded(tmp_path) as world:
        await world.install(await world.offer(*EVERYWHERE))
        await fill(world, "ada", CANARY)
        world.purges._list_tops = stuck  # type: ignore[method-assign]
        user_id = await world.user()
        await world.end_users.delete(await world.bench.org(), "ada")
        assert await rows(world, user_id)
    async with open_embedded(tmp_path) as world:
        await until_no_purge(world)
        assert await rows(world, user_id) == 0
        assert places_of(tmp_path) == []


async def test_a_deleted_user_without_runs_needs_no_purge(world: Embedded):
    await world.user()
    await world.end_users.delete(await world.bench.org(), "ada")
    assert not await world.bench.database.read(lambda conn: conn.execute("SELECT 1 FROM end_user_purges").fetchone())
    assert (
        await world.bench.database.read(
            lambda conn: conn.execute("SELECT count(*) FROM events WHERE kind = 'end_user.purged'").fetchone()[0]
        )
        == 0
    )


async def test_a_deletion_that_is_undone_purges_nothing(world: Embedded):
    await world.install(await world.offer(waits()))
    await world.start_waiting()

    def refuse(*_: object) -> None:
        raise AlloydError(Code.UNAVAILABLE, "no")

    world.end_users.on_delete(refuse)
    with pytest.raises(AlloydError):
        await world.end_users.delete(await world.bench.org(), "ada")
    assert (await world.tell("go")).resumed


async def test_a_user_who_is_gone_is_not_found(world: Embedded):
    with pytest.raises(AlloydError) as refused:
        await world.purges.purge(await world.bench.org("other"), await world.user())
    assert refused.value.code is Code.NOT_FOUND
