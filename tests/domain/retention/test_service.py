"""What is deleted and what never is; in how large steps; and that the disk gets its space back."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from alloyd.domain.audit.model import AuditFilter
from alloyd.domain.audit.verification import verify_file
from alloyd.domain.idempotency import store as idempotency_store
from alloyd.domain.retention import service as module
from alloyd.domain.retention.model import DAY_MS, HOUR_MS
from alloyd.domain.runs import store as runs_store
from alloyd.domain.usage import store as usage_store
from alloyd.domain.usage.model import NewUsage, UsageSettings
from alloyd.domain.usage.service import UsageService
from alloyd.errors import AlloydError
from alloyd.events import store as events_store
from alloyd.events.feed import Feed
from alloyd.events.model import Story
from alloyd.principal import system_principal


async def test_old_ended_runs_go_with_their_steps_and_events(past):
    old = await past.run(31)
    young = await past.run(29)
    swept = await past.retention.sweep()
    assert swept.runs == 1
    assert await past.runs() == [young]
    assert set(await past.select("SELECT run_id FROM run_steps")) == {young}
    assert set(await past.select("SELECT run_id FROM events")) == {young}
    assert old != young
    assert not (await past.retention.sweep()).anything


async def test_a_run_counts_from_its_end(past):
    long = await past.run(300, ended=False)
    ended_at = past.clock.now_ms() - 1000
    await past.database.write(
        lambda tx: tx.execute("UPDATE runs SET ended_at = ?, state = 'failed' WHERE id = ?", (ended_at, long))
    )
    await past.retention.sweep()
    assert await past.runs() == [long]


async def test_unfinished_runs_and_all_that_is_theirs_stay_however_old(past):
    unfinished = [await past.run(400, ended=False), await past.run(40, ended=False)]
    await past.run(400)
    past.settings = replace(past.settings, runs_per_org_max=1)
    events = await past.select("SELECT id FROM events WHERE run_id IN ('run1', 'run2') ORDER BY id")
    assert events
    await past.event(0)
    await past.retention.sweep()
    assert await past.runs() == unfinished
    assert await past.select("SELECT id FROM events WHERE run_id IS NOT NULL ORDER BY id") == events
    assert await past.select("SELECT count(*) FROM run_steps") == [4]
    assert await past.select("SELECT run_id FROM timers ORDER BY id") == unfinished


async def test_a_run_that_was_taken_up_again_meanwhile_stays(past, monkeypatch):
    run_id = await past.run(100)
    await past.event(0)
    write = past.database.write

    async def taken_up_before(fn):
        monkeypatch.setattr(past.database, "write", write)
        await write(lambda tx: tx.execute("UPDATE runs SET ended_at = NULL, state = 'queued'"))
        return await write(fn)

    monkeypatch.setattr(past.database, "write", taken_up_before)
    await past.retention.sweep()
    assert await past.runs() == [run_id]
    assert await past.select("SELECT count(*) FROM run_steps") == [2]
    assert await past.select("SELECT count(*) FROM events WHERE run_id IS NOT NULL") == [3]


async def test_the_store_itself_keeps_a_run_that_goes_on(past):
    run_id = await past.run(100, ended=False)
    await past.database.write(lambda tx: runs_store.delete_ended(tx, "one", run_id, 100))
    assert await past.runs() == [run_id]


async def test_pending_runs_stay(past):
    await past.run(400, ended=False)
    await past.database.write(lambda tx: tx.execute("UPDATE runs SET state = 'pending'"))
    await past.retention.sweep()
    assert await past.runs() == ["run1"]


async def test_of_each_organization_the_newest_stay(past):
    past.settings = replace(past.settings, runs_per_org_max=2)
    for org in ("one", "two", "one", "one", "three", "one", "two"):
        await past.run(1, org=org)
    waiting = await past.run(1, org="one", ended=False)
    swept = await past.retention.sweep()
    assert swept.runs == 2
    assert await past.runs() == ["run2", "run4", "run5", "run6", "run7", waiting]


async def test_unfinished_runs_do_not_count_as_surplus(past):
    past.settings = replace(past.settings, runs_per_org_max=2)
    ended = [await past.run(1), await past.run(1)]
    waiting = [await past.run(1, ended=False) for _ in range(5)]
    assert (await past.retention.sweep()).runs == 0
    assert await past.runs() == ended + waiting


async def test_old_runs_are_found_behind_many_that_go_on(past, monkeypatch):
    monkeypatch.setattr(module, "PAGE_ROWS", 3)
    waiting = [await past.run(100, ended=False) for _ in range(10)]
    await past.run(90)
    young = [await past.run(1) for _ in range(5)]
    assert (await past.retention.sweep()).runs == 1
    assert await past.runs() == waiting + young


async def test_a_clock_that_once_was_ahead_does_not_stop_it(past):
    ahead = await past.run(-1000)
    await past.run(50)
    assert (await past.retention.sweep()).runs == 1
    assert await past.runs() == [ahead]


async def test_old_events_go(past):
    await past.event(31)
    await past.event(1)
    await past.event(31, "two")
    await past.event(0)
    swept = await past.retention.sweep()
    assert swept.events == 2
    assert await past.select("SELECT subject FROM events ORDER BY id") == ["event2", "event4"]


async def test_events_may_go_before_their_run(past):
    past.settings = replace(past.settings, events_days=5)
    kept = await past.run(10)
    await past.event(0)
    assert (await past.retention.sweep()).events == 3
    assert await past.runs() == [kept]
    assert await past.select("SELECT count(*) FROM events WHERE run_id IS NOT NULL") == [0]


async def test_the_newest_event_stays_so_that_ids_go_on(past):
    for _ in range(3):
        await past.run(100)
    last = (await past.select("SELECT max(id) FROM events"))[0]
    await past.retention.sweep()
    assert await past.select("SELECT id FROM events") == [last]
    assert await past.runs() == []
    await past.log.start()  # as after a restart
    await past.event(0)
    assert (await past.select("SELECT max(id) FROM events")) == [last + 1]
    await past.retention.sweep()
    assert await past.select("SELECT id FROM events") == [last + 1]


async def test_idempotency_keys_go_after_their_hours(past):
    now = past.clock.now_ms()

    def write(tx):
        for hours in (1, 23, 25, 47, 49):
            idempotency_store.insert(tx, "one", "POST /x", f"k{hours}", "d", b"{}")
            at = now - hours * HOUR_MS
            tx.execute("UPDATE idempotency_keys SET created_at = ? WHERE key = ?", (at, f"k{hours}"))

    await past.database.write(write)
    past.settings = replace(past.settings, idempotency_hours=48)
    assert (await past.retention.sweep()).idempotency_keys == 1
    past.settings = replace(past.settings, idempotency_hours=24)
    assert (await past.retention.sweep()).idempotency_keys == 2
    past.settings = replace(past.settings, idempotency_hours=1)  # less than what is promised
    assert (await past.retention.sweep()).idempotency_keys == 0
    assert await past.select("SELECT key FROM idempotency_keys ORDER BY key") == ["k1", "k23"]


async def test_usage_records_go_after_their_days_and_sums_stay(past):
    usage = UsageService(past.database, past.clock, UsageSettings())
    start = past.clock.now_ms()
    for _ in range(5):
        used = NewUsage("p", "m", "text", cost_micro_usd=10)
        await usage.settle(usage.reserve("one", 10), system_principal("one"), used)
        past.clock.advance(DAY_MS)
    past.settings = replace(past.settings, usage_days=3)
    assert (await past.retention.sweep()).usage_records == 2
    assert (await past.retention.sweep()).usage_records == 0
    assert await past.select("SELECT count(*) FROM usage_records") == [3]
    assert (await usage.report("one", start, past.clock.now_ms())).totals.cost_micro_usd == 50


# -- small steps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["rows", "time"])
async def test_a_large_run_is_taken_apart_over_several_writes(past, monkeypatch, bound):
    if bound == "rows":
        monkeypatch.setattr(module, "ROWS_PER_WRITE", 20)
    else:
        monkeypatch.setattr(module._Share, "is_used_up", used_up_after_one())
    monkeypatch.setattr(module, "ROWS_PER_STATEMENT", 7)
    await past.run(100, steps=100, events=60)
    other = await past.run(1)
    changes, changed = [], past.database.write

    async def counted(fn):
        def run(tx):
            before = tx.conn.total_changes
            result = fn(tx)
            changes.append(tx.conn.total_changes - before)
            return result

        return await changed(run)

    monkeypatch.setattr(past.database, "write", counted)
    assert (await past.retention.sweep()).runs == 1
    assert max(changes) <= (20 if bound == "rows" else 7 + 2)
    assert len(changes) > 160 // 20
    assert await past.runs() == [other]
    assert await past.select("SELECT count(*) FROM run_steps") == [2]
    assert await past.select("SELECT count(*) FROM events") == [3]


def used_up_after_one():
    """As if each statement took all the time that a write may."""

    def is_used_up(share):
        seen = share.until == -1.0
        share.until = -1.0
        return seen

    return is_used_up


async def test_a_crash_in_the_middle_is_gone_on_with(past, monkeypatch):
    monkeypatch.setattr(module, "ROWS_PER_WRITE", 20)
    await past.run(100, steps=50)
    await past.run(100, steps=50)
    await past.event(0)
    write = past.database.write
    left = iter(range(2))

    async def fails_in_the_end(fn):
        if next(left, None) is None:
            raise AlloydError("unavailable", "nothing was stored: the disk is full")
        return await write(fn)

    monkeypatch.setattr(past.database, "write", fails_in_the_end)
    with pytest.raises(AlloydError):
        await past.retention.sweep()
    assert await past.runs() == ["run1", "run2"]
    monkeypatch.setattr(past.database, "write", write)
    assert (await past.retention.sweep()).runs == 2
    assert await past.select("SELECT count(*) FROM run_steps") == [0]


async def test_writes_of_others_come_in_between(past, monkeypatch):
    monkeypatch.setattr(module, "ROWS_PER_WRITE", 5)
    monkeypatch.setattr(module, "ROWS_PER_STATEMENT", 5)
    for _ in range(10):
        await past.run(100)
    await past.event(0)
    left, changed = [], past.database.write

    async def followed(fn):
        result = await changed(fn)
        left.append((await past.select("SELECT count(*) FROM runs"))[0])
        return result

    monkeypatch.setattr(past.database, "write", followed)
    await past.retention.sweep()
    assert len(set(left)) > 5


# -- readers ----------------------------------------------------------------------------------------------------------


async def stream_to_the_end(feed):
    kinds = []
    while (batches := await feed.read()) is not None:
        kinds += [event.kind for batch in batches for event in batch.events]
    return kinds


@pytest.mark.parametrize("resumed", [False, True])
async def test_who_reads_an_old_run_when_it_is_deleted_comes_to_a_clean_end(past, resumed):
    run_id = await past.run(100, events=450)
    await past.event(0)
    ids = await past.select(f"SELECT id FROM events WHERE run_id = '{run_id}' ORDER BY id")
    feed = Feed(past.log, past.log.hub.open({"one"}, story=Story("run", run_id)))
    if resumed:
        await feed.resume(str(ids[10]), is_over=True)
    else:
        feed.replay(is_over=True)
    first = await feed.read()
    assert first
    await past.retention.sweep()
    assert await past.runs() == []
    assert await stream_to_the_end(feed) == []
    assert feed.ended


# -- space ------------------------------------------------------------------------------------------------------------


async def fill(past, count, age):
    big = "x" * 20_000
    for _ in range(count):
        run_id = await past.run(age, steps=1)
        await past.database.write(
            lambda tx, run_id=run_id: tx.execute("UPDATE runs SET payload = ? WHERE id = ?", (big, run_id))
        )


async def test_the_file_shrinks_after_a_mass_deletion(past, monkeypatch):
    monkeypatch.setattr(module, "FREE_PAGES_MAX", 300)
    monkeypatch.setattr(module, "FREE_PAGES_KEPT", 50)
    await fill(past, 300, 100)
    kept = await past.run(1)
    await past.database.checkpoint()
    before = past.database.path.stat().st_size
    assert before > 6_000_000
    swept = await past.retention.sweep()
    assert swept.pages > 1000
    after = past.database.path.stat().st_size
    assert after < before / 5
    assert await past.runs() == [kept]
    assert await past.select("PRAGMA freelist_count") == [50]
    assert await past.select("PRAGMA integrity_check") == ["ok"]


async def test_a_few_free_pages_are_left_for_what_comes(past):
    await fill(past, 20, 100)
    await past.event(0)
    swept = await past.retention.sweep()
    assert (swept.runs, swept.pages) == (20, 0)
    assert (await past.select("PRAGMA freelist_count"))[0] > 50


async def test_a_file_that_can_not_shrink_is_left_alone(past, monkeypatch):
    monkeypatch.setattr(module, "FREE_PAGES_MAX", 10)
    monkeypatch.setattr(module, "FREE_PAGES_KEPT", 0)
    monkeypatch.setattr(module, "release_some_pages", lambda _conn: None)
    await fill(past, 20, 100)
    await past.event(0)
    assert (await past.retention.sweep()).pages == 0


async def test_statistics_are_looked_at_once_a_day(past, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "optimize", lambda conn: seen.append(conn.in_transaction))
    await past.retention.sweep()
    assert seen == []
    past.clock.advance(module.OPTIMIZE_INTERVAL_MS)
    await past.retention.sweep()
    await past.retention.sweep()
    assert seen == [False]


# -- plans ------------------------------------------------------------------------------------------------------------

LARGE = re.compile(r"SCAN (runs|run_steps|events|timers|idempotency_keys|usage_records)\b")
QUERIES = {
    "list_all_from": (runs_store.LIST_ALL_FROM, (1, 10)),
    "list_of_org_from": (runs_store.LIST_OF_ORG_FROM, ("o", 1, 10)),
    "find_next_org": (runs_store.FIND_NEXT_ORG, ("o",)),
    "count_ended": (runs_store.COUNT_ENDED, ("o",)),
    "find_unfinished": (runs_store.FIND_UNFINISHED, ('["a"]',)),
    "delete_steps": (runs_store.DELETE_STEPS, ("r", "o", 10)),
    "delete_timers": (runs_store.DELETE_TIMERS, ("r", "o")),
    "delete_run": (runs_store.DELETE_RUN, ("r", "o")),
    "list_events": (events_store.LIST_FROM, (1, 10)),
    "delete_event": (events_store.DELETE_ONE, (1, "o")),
    "delete_of_run": (events_store.DELETE_OF_RUN, ("r", "o", 10)),
    "find_usage": (usage_store.FIND_OLD, (1, 10)),
    "delete_usage": (usage_store.DELETE_ONE, (1,)),
}


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("analyzed", [False, True])
async def test_no_query_looks_through_a_whole_table(past, name, analyzed):
    """With and without statistics: they must not talk the planner into a scan."""
    if analyzed:
        for number in range(30):
            await past.run(number, org=f"o{number % 3}")
        await past.database.run_maintenance(lambda conn: conn.execute("ANALYZE").fetchall())
    sql, params = QUERIES[name]
    plan = await past.database.run_maintenance(
        lambda conn: [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", params)]
    )
    assert plan
    # `max(id)` and `min(org_id)` are one step down an index, which SQLite calls a search.
    assert [line for line in plan if LARGE.match(line)] == [], plan
    assert not any("TEMP B-TREE" in line for line in plan), plan


async def test_one_row_of_the_audit_trail_tells_of_all_runs_of_a_round(past):
    await past.audit.start()
    for _ in range(3):
        await past.run(31)
    await past.run(1)
    await past.retention.sweep()
    await past.retention.sweep()
    page, _next = await past.audit.list_page(None, AuditFilter(), None, 10)
    assert [(row.actor_kind, row.action, row.target, row.count) for row in page] == [
        ("system", "run.delete", "run:*", 3)
    ]


async def test_old_rows_of_the_audit_trail_go(past):
    await past.audit.start()
    await past.run(31)
    await past.retention.sweep()
    past.clock.advance(366 * DAY_MS)
    assert (await past.retention.sweep()).audit_rows == 1
    page, _next = await past.audit.list_page(None, AuditFilter(), None, 10)
    assert [row.action for row in page] == ["audit.prune"]
    assert verify_file(past.database.path).reason is None
