from __future__ import annotations

import asyncio

import pytest

from alloyd.domain.idempotency.model import Once
from alloyd.domain.operations.model import Done
from alloyd.domain.runs.model import RunState
from alloyd.domain.runs.service import RunSettings
from alloyd.domain.runs.store_end_users import LIST_WAITS
from alloyd.errors import AlloydError, Code
from alloyd.kit.event_names import EVENT_CHARS_MAX
from tests.embedded import PAYLOAD_BYTES_MAX, Embedded, open_embedded, waits

NOOP = {"key": "a", "operation": "workflow.noop"}
SHOW = {
    "key": "show",
    "operation": "transform",
    "config": {"values": {"got": "{{ trigger }}", "set": "{{ context.configuration }}", "of": "{{ run.end_user_id }}"}},
}


@pytest.fixture
async def world(tmp_path):
    async with open_embedded(tmp_path) as opened:
        yield opened


async def test_an_event_starts_what_the_user_has_installed_for_it_and_nothing_else(world: Embedded):
    wanted = await world.offer(SHOW, name="wanted")
    other_event = await world.offer(NOOP, name="other-event", event="end")
    longer = await world.offer(NOOP, name="longer", event="begin.more")
    await world.offer(NOOP, name="not-installed")
    await world.install(wanted, room=7)
    await world.install(other_event)
    await world.install(longer)
    await world.install(wanted, "bob")
    accepted = await world.tell("begin", {"n": 1})
    (run_id,) = accepted.started
    ended = await world.bench.end(run_id)
    assert ended.state is RunState.COMPLETED
    assert await world.output(run_id, "show") == {"got": {"n": 1}, "set": {"room": 7}, "of": await world.user()}
    run = (await world.bench.detail(run_id)).run
    assert (run.workflow_id, run.trigger_kind, run.end_user_id) == (wanted, "embedded", await world.user())
    assert await world.bench.count("runs") == 1


async def test_what_runs_is_the_installed_version(world: Embedded):
    workflow_id = await world.offer(NOOP)
    await world.install(workflow_id)
    await world.offer(NOOP, SHOW, release="2.0.0")
    (old,) = (await world.tell()).started
    await world.installations.upgrade(await world.bench.org(), "ada", workflow_id)
    (new,) = (await world.tell()).started
    assert [(await world.bench.detail(run_id)).run.version for run_id in (old, new)] == [1, 2]


async def test_an_event_resumes_the_waiting_run_in_itself(world: Embedded):
    await world.install(await world.offer(waits()))
    run_id = await world.start_waiting()
    accepted = await world.tell("go", {"by": "Ada"})
    assert (accepted.started, accepted.resumed) == ((), (run_id,))
    assert (await world.bench.end(run_id)).state is RunState.COMPLETED
    got = await world.output(run_id)
    assert (got["kind"], got["payload"], got["subject"]) == ("go", {"by": "Ada"}, await world.user())
    assert await world.bench.count("runs") == 1
    assert (await world.tell("go")).resumed == ()


@pytest.mark.parametrize(
    ("name", "another"),
    [
        ("Order Created", "order created"),
        ("ORDER_PAID", "ORDER PAID"),
        ("order-created", "order.created"),
        ("50% *off*, \u2603 'now'", "50% off, \u2603 'now'"),
        ("a. .b", "a.*"),
        ("x" * EVENT_CHARS_MAX, "x" * (EVENT_CHARS_MAX - 1)),
    ],
)
async def test_any_line_names_an_event_exactly(world: Embedded, name: str, another: str):
    await world.install(await world.offer(waits(name), event=name))
    assert (await world.tell(another)).started == ()
    (run_id,) = (await world.tell(name)).started
    await world.bench.until_told(run_id, "waiting wait")
    assert (await world.tell(another)).resumed == ()
    assert run_id in (await world.tell(name, {"n": 1})).resumed
    await world.bench.end(run_id)
    output = await world.output(run_id)
    assert (output["kind"], output["payload"]) == (name, {"n": 1})
    kinds = await world.bench.database.read(
        lambda conn: {row[0] for row in conn.execute("SELECT DISTINCT kind FROM events")}
    )
    assert name not in kinds  # nobody's name becomes the kind of an event, and so no line of an SSE stream


async def test_a_pattern_of_names_resumes_whatever_they_are(world: Embedded):
    await world.install(await world.offer(waits("Order Events.*")))
    run_id = await world.start_waiting()
    assert (await world.tell("Order Events")).resumed == ()
    assert (await world.tell("Order Events.Was Paid")).resumed == (run_id,)


async def test_one_event_starts_and_resumes(world: Embedded):
    await world.install(await world.offer(waits("begin")))
    first = await world.start_waiting()
    accepted = await world.tell("begin")
    assert accepted.resumed == (first,)
    assert len(accepted.started) == 1
    await world.bench.end(first)
    assert await world.bench.state(accepted.started[0]) != "completed"


async def test_nothing_that_matches_is_accepted_too(world: Embedded):
    accepted = await world.tell("whatever", {"n": 1})
    assert (accepted.started, accepted.resumed) == ((), ())


@pytest.mark.parametrize(
    ("match", "data", "resumes"),
    [
        ({"order": 1}, {"order": 1, "more": True}, True),
        ({"order": 1}, {"order": 2}, False),
        ("event.payload.total > 10", {"total": 11}, True),
        ("event.payload.total > 10", {"total": 9}, False),
        ("event.payload.total > 10", {}, False),
    ],
)
async def test_what_a_wait_asks_of_an_event_counts(world: Embedded, match, data, resumes):
    await world.install(await world.offer(waits(match=match)))
    run_id = await world.start_waiting()
    await world.tell("go", data)
    if resumes:
        await world.bench.end(run_id)
    else:
        await world.tell(
            "go", {"order": 1, "total": 11}
        )  # the first one has moved nothing before this one is looked at
        await world.bench.end(run_id)
    assert (await world.output(run_id))["payload"] == (data if resumes else {"order": 1, "total": 11})


@pytest.mark.parametrize(
    ("match", "starts"),
    [
        ("event.payload.n == 1", 1),
        ("event.payload.n == 2", 0),
        ("event.payload.missing.n", 0),
        ({"n": 1}, 1),
        ({"n": 2}, 0),
    ],
)
async def test_what_a_trigger_asks_of_an_event_counts(world: Embedded, match, starts):
    await world.install(await world.offer(NOOP, match=match))
    assert len((await world.tell("begin", {"n": 1})).started) == starts


async def test_a_wait_for_all_that_begin_so_is_resumed_by_one_of_them(world: Embedded):
    await world.install(await world.offer(waits("order.*")))
    run_id = await world.start_waiting()
    assert (await world.tell("order.paid")).resumed == (run_id,)


# -- isolation --------------------------------------------------------------------------------------------------------


async def test_another_users_event_starts_and_resumes_nothing(world: Embedded):
    workflow_id = await world.offer(waits())
    await world.install(workflow_id)
    await world.install(workflow_id, "bob")
    ada, bob = await world.start_waiting(), await world.start_waiting(user="bob")
    assert (await world.tell("go", user="bob")).resumed == (bob,)
    await world.bench.end(bob)
    assert await world.bench.state(ada) == "waiting"
    assert (await world.tell("begin", user="cyd")).started == ()


async def test_the_organizations_events_do_not_resume_an_end_users_run(world: Embedded):
    await world.install(await world.offer(waits("order.paid")))
    emit = {"key": "e", "operation": "event.emit", "config": {"kind": "order.paid"}}
    emitting = await world.bench.publish(emit, name="emitting")
    own = await world.bench.publish(waits("order.paid"), name="own")
    ada = await world.start_waiting()
    waiting = await world.bench.start(own)
    await world.bench.until_told(waiting, "waiting wait")
    await world.bench.end(await world.bench.start(emitting))
    await world.bench.end(waiting)
    assert await world.bench.state(ada) == "waiting"
    assert (await world.tell("order.paid")).resumed == (ada,)


async def test_an_end_users_event_does_not_resume_the_organizations_runs(world: Embedded):
    own = await world.bench.start(await world.bench.publish(waits(), name="own"))
    await world.bench.until_told(own, "waiting wait")
    assert (await world.tell("go")).resumed == ()
    await world.bench.settled()
    assert await world.bench.state(own) == "waiting"


async def test_users_of_two_organizations_with_one_name_are_two(world: Embedded):
    await world.install(await world.offer(waits()))
    run_id = await world.start_waiting()
    accepted = await world.tell("go", org="other")
    assert (accepted.started, accepted.resumed) == ((), ())
    assert await world.bench.state(run_id) == "waiting"
    with pytest.raises(AlloydError) as refused:
        await world.events.trigger(await world.bench.org("other"), await world.user(), "go", {})
    assert refused.value.code is Code.NOT_FOUND


@pytest.mark.parametrize("mode", ["queue", "restart"])
async def test_one_users_run_neither_holds_up_nor_ends_another_ones(world: Embedded, mode):
    workflow_id = await world.offer(waits(), mode=mode, concurrency_key="trigger.k")
    await world.install(workflow_id)
    await world.install(workflow_id, "bob")
    ada = await world.start_waiting({"k": 1})
    bob = await world.start_waiting({"k": 1}, "bob")
    assert [await world.bench.state(run_id) for run_id in (ada, bob)] == ["waiting", "waiting"]


async def test_a_run_that_is_called_is_its_callers_users(world: Embedded):
    inner = await world.bench.publish(waits(), name="inner")
    call = {"key": "call", "operation": "workflow.call", "config": {"workflow": inner}}
    outer = await world.offer(call, name="outer")
    await world.install(outer)
    (run_id,) = (await world.tell()).started
    await world.bench.until_told(run_id, "waiting call")
    await world.bench.settled()
    await world.deactivate(outer)
    assert (await world.tell("go")).resumed == ()
    await world.activate(outer)
    (child,) = (await world.tell("go")).resumed
    assert (await world.bench.detail(child)).run.parent_run_id == run_id
    assert (await world.bench.end(run_id)).state is RunState.COMPLETED


async def test_a_run_begun_again_stays_its_users(world: Embedded):
    await world.install(await world.offer(NOOP))
    (run_id,) = (await world.tell()).started
    await world.bench.end(run_id)
    again = await world.bench.retries.retry(await world.bench.org(), run_id, "start")
    assert again.run.end_user_id == await world.user()


# -- deactivated ------------------------------------------------------------------------------------------------------


async def test_a_deactivated_workflow_neither_starts_nor_resumes_and_keeps_no_events(world: Embedded):
    workflow_id = await world.offer(waits())
    await world.install(workflow_id)
    run_id = await world.start_waiting()
    await world.deactivate(workflow_id)
    for event in ("begin", "go"):
        accepted = await world.tell(event)
        assert (accepted.started, accepted.resumed) == ((), ())
    await world.activate(workflow_id)
    await world.bench.settled()
    assert await world.bench.state(run_id) == "waiting"
    assert (await world.tell("go")).resumed == (run_id,)


async def test_a_delay_goes_on_while_its_workflow_is_deactivated(world: Embedded):
    workflow_id = await world.offer({"key": "rest", "operation": "workflow.delay", "config": {"for": 1000}})
    await world.install(workflow_id)
    (run_id,) = (await world.tell()).started
    await world.bench.until_told(run_id, "waiting rest")
    await world.deactivate(workflow_id)
    world.bench.move(1000)
    assert (await world.bench.end(run_id)).state is RunState.COMPLETED


# -- once -------------------------------------------------------------------------------------------------------------


async def test_copies_under_one_key_take_effect_once(world: Embedded):
    await world.install(await world.offer(NOOP))
    once = Once("embedded POST /run/event", "k1", "digest")
    answers = await asyncio.gather(*(world.tell("begin", once=once) for _ in range(20)))
    assert sorted(len(one.started) for one in answers) == [0] * 19 + [1]
    assert sum(one.repeated for one in answers) == 19
    with pytest.raises(AlloydError) as refused:
        await world.tell("begin", once=Once("embedded POST /run/event", "k1", "another"))
    assert refused.value.code is Code.CONFLICT
    assert len((await world.tell("begin", user="bob", once=once)).started) == 0
    assert await world.bench.count("runs") == 1


async def test_what_was_accepted_takes_effect_in_the_next_life(tmp_path):
    async with open_embedded(tmp_path) as world:
        await world.install(await world.offer(waits()))
        waiting = await world.start_waiting()
    async with open_embedded(tmp_path, starts=False) as world:
        assert (await world.tell("go", {"n": 1})).resumed == (waiting,)
        (started,) = (await world.tell("begin")).started
        assert (await world.tell("go", {"n": 2})).resumed == ()
    async with open_embedded(tmp_path) as world:
        await world.bench.end(waiting)
        assert (await world.output(waiting))["payload"] == {"n": 1}
        await world.bench.until_told(started, "waiting wait")
        assert await world.bench.count("runs") == 2


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["", " ", " a", "a" * (EVENT_CHARS_MAX + 1), "a\nb", "\x00", "\ud800"])
async def test_an_event_that_is_no_name_is_refused(world: Embedded, event):
    with pytest.raises(AlloydError) as refused:
        await world.tell(event)
    assert (refused.value.code, refused.value.field) == (Code.BAD_REQUEST, "event")


async def test_data_that_is_too_large_is_refused(world: Embedded):
    await world.tell("begin", {"n": "x" * (PAYLOAD_BYTES_MAX - 8)})
    with pytest.raises(AlloydError) as refused:
        await world.tell("begin", {"n": "x" * (PAYLOAD_BYTES_MAX - 7)})
    assert (refused.value.code, refused.value.field) == (Code.TOO_LARGE, "data")


async def test_a_full_queue_refuses_the_whole_event(tmp_path):
    async with open_embedded(tmp_path, RunSettings(queued_per_org_max=1), starts=False) as world:
        for name in ("one", "two"):
            await world.install(await world.offer(NOOP, name=name))
        with pytest.raises(AlloydError) as refused:
            await world.tell()
        assert refused.value.code is Code.RATE_LIMITED
        assert await world.bench.count("runs") == 0
        assert world.bench.runs.admission.coming == {}


async def test_starts_by_events_count_against_the_rate(tmp_path):
    async with open_embedded(tmp_path, RunSettings(starts_per_s_per_org=1)) as world:
        await world.install(await world.offer(NOOP))
        await world.tell()
        with pytest.raises(AlloydError) as refused:
            await world.tell()
        assert refused.value.code is Code.RATE_LIMITED
        await world.tell("nothing starts by this")


async def test_a_version_that_can_not_start_does_not_keep_the_others_from_it(world: Embedded):
    broken = await world.offer(NOOP, name="broken", mode="queue", concurrency_key="trigger.missing.k")
    sound = await world.offer(NOOP, name="sound")
    await world.install(broken)
    await world.install(sound)
    (run_id,) = (await world.tell()).started
    assert (await world.bench.detail(run_id)).run.workflow_id == sound
    refusals = await world.bench.database.read(
        lambda conn: conn.execute("SELECT subject FROM events WHERE kind = 'workflow.trigger.refused'").fetchall()
    )
    assert refusals == [(broken,)]


async def test_a_user_who_is_gone_is_not_found(world: Embedded):
    user_id = await world.user()
    await world.end_users.delete(await world.bench.org(), user_id)
    with pytest.raises(AlloydError) as refused:
        await world.events.trigger(await world.bench.org(), user_id, "begin", {})
    assert refused.value.code is Code.NOT_FOUND


# -- how it is found --------------------------------------------------------------------------------------------------


async def test_a_thousand_installations_of_others_are_not_looked_at(world: Embedded):
    await world.install(await world.offer(NOOP))

    def plans(conn):
        return [
            conn.execute(f"EXPLAIN QUERY PLAN {sql}", (["x"] * sql.count("?"))).fetchall()
            for sql in (
                "SELECT id FROM installations WHERE org_id = ? AND end_user_id = ? AND event = ? AND active = 1",
                LIST_WAITS.replace("json_each(?)", "json_each('[\"a\"]')"),
            )
        ]

    found = await world.bench.database.read(plans)
    assert any("installations_by_event (org_id=? AND end_user_id=? AND event=?)" in row[3] for row in found[0])
    assert any("event_waits_by_event (org_id=? AND event=? AND end_user_id=?)" in row[3] for row in found[1])


async def test_done_is_what_a_step_gives(world: Embedded):
    """The bench's own operation sees whose run it is."""
    await world.install(await world.offer({"key": "ask", "operation": "test.ask"}))
    await world.tell()
    asked = await world.bench.outside.next()
    assert asked.context.end_user_id == await world.user()
    asked.answer(Done({}))
