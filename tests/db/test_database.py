"""Group commit, isolation and bounds of the database, on real files."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading

import pytest

from alloyd.db import Database, DatabaseSettings
from alloyd.db.connection import ThreadConnection
from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import ManualClock


def put(key, value="x"):
    return lambda tx: tx.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (key, value)).rowcount


def all_keys(conn):
    return {row[0] for row in conn.execute("SELECT key FROM meta")}


def read_beside(path):
    """What another process would see: committed, in the file or its log."""
    conn = sqlite3.connect(path)
    try:
        return all_keys(conn)
    finally:
        conn.close()


class Gate:
    """A write function that holds the writer's thread until it is opened: what comes meanwhile waits together."""

    def __init__(self):
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, _tx):
        self.entered.set()
        assert self.opened.wait(30)


async def gather_behind_gate(database, functions):
    gate = Gate()
    first = database.submit(gate)
    assert await asyncio.to_thread(gate.entered.wait, 30)
    futures = [database.submit(fn) for fn in functions]
    gate.opened.set()
    await first
    return futures


async def test_what_waits_is_committed_together(database):
    futures = await gather_behind_gate(database, [put(f"k{number}") for number in range(100)])
    commits = database.stats.commits
    assert await asyncio.gather(*futures) == [1] * 100
    assert database.stats.commits == commits + 1


async def test_a_group_is_bounded(path):
    database = await Database.open(path, ManualClock(), DatabaseSettings(group_commit_max=10))
    futures = await gather_behind_gate(database, [put(f"k{number}") for number in range(25)])
    before = database.stats.commits
    await asyncio.gather(*futures)
    assert database.stats.commits == before + 3
    await database.close()


async def test_a_failure_undoes_itself_alone(database):
    def fails_late(tx):
        put("half done")(tx)
        tx.emit("never told")
        tx.after_commit(lambda: pytest.fail("ran the hook of a write that failed"))
        raise AlloydError(Code.CONFLICT, "no")

    told = []
    database.connect_events(lambda tx: tx.execute("SELECT 1"), told.extend)

    def goes_well(tx):
        tx.emit("told")
        return put("after")(tx)

    before, broken, refused, after = await gather_behind_gate(
        database, [put("before"), fails_late, lambda tx: tx.execute("SELECT nonsense"), goes_well]
    )
    assert await before == await after == 1
    with pytest.raises(AlloydError, match="no"):
        await broken
    with pytest.raises(sqlite3.OperationalError, match="nonsense"):
        await refused
    assert await database.read(all_keys) >= {"before", "after"}
    assert "half done" not in await database.read(all_keys)
    assert told == ["told"]
    assert database.failure is None


async def test_a_failing_outbox_undoes_its_write(database):
    def outbox(_tx):
        raise RuntimeError("the event can't be written")

    database.connect_events(outbox, lambda _events: pytest.fail("published"))

    def write(tx):
        put("with event")(tx)
        tx.emit("event")

    with pytest.raises(RuntimeError, match="can't be written"):
        await database.write(write)
    assert "with event" not in await database.read(all_keys)


async def test_commits_are_in_the_order_of_calls(database):
    order = []
    futures = await gather_behind_gate(
        database, [lambda _tx, number=number: order.append(number) for number in range(50)]
    )
    await asyncio.gather(*futures)
    assert order == list(range(50))


async def test_hooks_run_and_events_are_told_after_the_commit(database, path):
    seen = []
    database.connect_events(lambda _tx: None, lambda events: seen.append(("told", *events, read_beside(path))))

    def write(tx):
        put("k")(tx)
        tx.emit("event")
        tx.after_commit(lambda: seen.append(("hook", read_beside(path))))

    await database.write(write)
    kinds = [entry[0] for entry in seen]
    assert kinds == ["hook", "told"]
    assert all("k" in entry[-1] for entry in seen)


async def test_one_group_has_one_time(path):
    class Running(ManualClock):
        def now_ms(self):
            self.advance(1)
            return super().now_ms()

    database = await Database.open(path, Running())
    futures = await gather_behind_gate(database, [lambda tx: tx.now] * 5)
    assert len(set(await asyncio.gather(*futures))) == 1
    await database.close()


async def test_a_cancelled_caller_does_not_undo_its_write(database):
    gate = Gate()
    first = database.submit(gate)
    assert await asyncio.to_thread(gate.entered.wait, 30)
    caller = asyncio.create_task(database.write(put("left behind")))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    gate.opened.set()
    await first
    await database.write(put("next"))
    assert await database.read(all_keys) >= {"left behind", "next"}


async def test_closing_finishes_what_waits_and_refuses_the_rest(path):
    database = await Database.open(path, ManualClock())
    gate = Gate()
    first = database.submit(gate)
    assert await asyncio.to_thread(gate.entered.wait, 30)
    waiting = [database.submit(put(f"k{number}")) for number in range(5)]
    assert database.queue_length == 5
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0)
    late = [database.write(put("late")), database.run_maintenance(lambda _conn: None), database.checkpoint()]
    for call in late:
        with pytest.raises(AlloydError) as caught:
            await call
        assert caught.value.code is Code.UNAVAILABLE
    gate.opened.set()
    await asyncio.gather(first, closing, *waiting)
    assert read_beside(path) >= {f"k{number}" for number in range(5)}
    assert not path.with_name("alloyd.db-wal").exists()


async def test_the_writer_is_the_last_to_close(path, monkeypatch):
    # A reader may not take the log away: were it the last, the files beside the database would stay.
    database = await Database.open(path, ManualClock(), DatabaseSettings(readers=3))
    writer, really_close, closed = database._writer, ThreadConnection.close, []

    async def close(self):
        assert self is not writer or len(closed) == 3
        await really_close(self)
        closed.append(self)

    monkeypatch.setattr(ThreadConnection, "close", close)
    await database.close()
    assert closed[-1] is writer
    assert not path.with_name("alloyd.db-shm").exists()


async def test_readers_can_not_write(database):
    for statement in ("INSERT INTO meta (key, value) VALUES ('a', 'b')", "DELETE FROM runs", "CREATE TABLE t (a)"):
        with pytest.raises(sqlite3.OperationalError, match=r"readonly|read-only"):
            await database.read(lambda conn, sql=statement: conn.execute(sql))


async def test_a_reader_stays_in_its_snapshot(database):
    began, go_on = threading.Event(), threading.Event()

    def read_twice(conn):
        before = all_keys(conn)
        began.set()
        assert go_on.wait(30)
        return before, all_keys(conn)

    reading = asyncio.create_task(database.read(read_twice))
    assert await asyncio.to_thread(began.wait, 30)
    await database.write(put("meanwhile"))
    assert "meanwhile" in await database.read(all_keys)
    go_on.set()
    before, after = await reading
    assert before == after
    assert "meanwhile" not in after


async def test_a_cancelled_reader_is_interrupted_and_serves_the_next(path):
    database = await Database.open(path, ManualClock(), DatabaseSettings(readers=1))
    began = threading.Event()

    def read_for_ever(conn):
        conn.create_function("told", 0, lambda: began.set() or 1)
        endless = "WITH RECURSIVE n (i) AS (SELECT told() UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
        return conn.execute(endless).fetchone()

    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    reading = asyncio.create_task(database.read(read_for_ever))
    assert await asyncio.to_thread(began.wait, 30)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await database.read(lambda conn: conn.execute("SELECT 1").fetchone()) == (1,)
    await database.close()
    gc.collect()
    assert told == []  # its end as "interrupted" is nobody's fault


async def test_an_exception_in_a_read_leaves_the_reader_well(path):
    database = await Database.open(path, ManualClock(), DatabaseSettings(readers=1))
    with pytest.raises(KeyError):
        await database.read(lambda conn: {}[conn.execute("SELECT count(*) FROM meta").fetchone()])
    assert await database.read(lambda conn: conn.in_transaction) is True
    await database.close()


async def test_pragmas_are_as_stated(database, path):
    def ask(conn):
        names = ("journal_mode", "synchronous", "foreign_keys", "auto_vacuum", "wal_autocheckpoint", "trusted_schema")
        return {name: conn.execute(f"PRAGMA {name}").fetchone()[0] for name in names}

    writer = await database.run_maintenance(ask)
    assert writer == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "auto_vacuum": 2,
        "wal_autocheckpoint": 0,
        "trusted_schema": 0,
    }
    reader = await database.read(ask)
    assert (reader["journal_mode"], reader["wal_autocheckpoint"], reader["trusted_schema"]) == ("wal", 0, 0)
    assert await database.read(lambda conn: conn.execute("PRAGMA query_only").fetchone()[0]) == 1


async def test_a_file_made_without_migrations_can_shrink_too(tmp_path):
    database = await Database.open(tmp_path / "new.db", ManualClock())
    await database.write(lambda tx: tx.execute("CREATE TABLE t (a)"))
    assert await database.read(lambda conn: conn.execute("PRAGMA auto_vacuum").fetchone()[0]) == 2
    await database.close()


async def test_checkpoints_keep_the_log_small(path):
    database = await Database.open(path, ManualClock(), DatabaseSettings(checkpoint_pages=100, wal_bytes_max=1 << 20))
    for number in range(300):
        await database.write(put(f"k{number}", "v" * 20_000))
    assert database.stats.checkpoints >= 2
    assert database.wal_bytes < 3 << 20  # 6 MB were written
    await database.close()


async def test_a_long_reader_does_not_hold_up_writes(path):
    """The log grows past its bound meanwhile; cutting it must not wait for the reader's end."""
    settings = DatabaseSettings(readers=2, checkpoint_pages=10, wal_bytes_max=64 * 1024)
    database = await Database.open(path, ManualClock(), settings)
    began, go_on = threading.Event(), threading.Event()

    def hold(conn):
        all_keys(conn)
        began.set()
        return go_on.wait(60)

    reading = asyncio.create_task(database.read(hold))
    assert await asyncio.to_thread(began.wait, 30)
    statements = []
    await database.run_maintenance(lambda conn: conn.set_trace_callback(statements.append))
    for number in range(40):
        await database.write(put(f"k{number}", "v" * 20_000))
    assert database.wal_bytes > settings.wal_bytes_max
    go_on.set()
    assert await reading
    tries = [place for place, sql in enumerate(statements) if "TRUNCATE" in sql]
    assert tries
    assert all(statements[place - 1] == "PRAGMA busy_timeout=0" for place in tries)
    await database.checkpoint()
    assert database.wal_bytes == 0
    assert await database.run_maintenance(lambda conn: conn.execute("PRAGMA busy_timeout").fetchone()[0]) == 5000
    await database.close()


async def test_maintenance_runs_outside_of_transactions(database):
    assert await database.run_maintenance(lambda conn: conn.in_transaction) is False
    with pytest.raises(sqlite3.OperationalError, match="nonsense"):
        await database.run_maintenance(lambda conn: conn.execute("SELECT nonsense"))
