from __future__ import annotations

import os
import random
import sqlite3
from pathlib import Path

import pytest

from alloyd.db import Database
from alloyd.db.migrate import migrate
from alloyd.db.scrub import find_dirty, read_shape, scrub
from alloyd.kit.clock import ManualClock

CANARY = "CANARY-"


@pytest.fixture
async def database(tmp_path):
    path = tmp_path / "alloyd.db"
    migrate(path)
    opened = await Database.open(path, ManualClock())
    await opened.write(
        lambda tx: tx.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, whose TEXT, text TEXT) STRICT")
    )
    await opened.write(
        lambda tx: tx.execute("CREATE TABLE parts (note TEXT, k TEXT, text TEXT, PRIMARY KEY (note, k)) WITHOUT ROWID")
    )
    try:
        yield opened
    finally:
        await opened.close()


def some_text(rng: random.Random, whose: str) -> str:
    return (CANARY if whose == "ada" else "others-") * rng.choice([1, 3, 10, 30, 80, 200, 600])


async def live_a_while(database: Database, seed: int) -> None:
    """Rows of two people that come, grow and shrink among each other, so that pages are split and joined."""
    rng = random.Random(seed)
    people = [rng.choice(["ada", "bob", "bob"]) for _ in range(600)]

    def step(tx) -> None:
        for number in range(len(people)):
            tx.execute("INSERT INTO notes VALUES (?, ?, ?)", (number, people[number], some_text(rng, people[number])))
            for old in rng.sample(range(max(0, number - 20), number + 1), min(6, number + 1) if number < 20 else 6):
                text = some_text(rng, people[old])
                tx.execute("UPDATE notes SET text = ? WHERE id = ?", (text, old))
                tx.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", (f"{old:05}", f"k{rng.randrange(4)}", text))

    await database.write(step)


def forget_ada(tx) -> None:
    tx.execute("DELETE FROM parts WHERE note IN (SELECT printf('%05d', id) FROM notes WHERE whose = 'ada')")
    tx.execute("DELETE FROM notes WHERE whose = 'ada'")


def traces(path: Path) -> int:
    return sum(one.read_bytes().count(CANARY.encode()) for one in path.parent.iterdir() if one.is_file())


def everything(conn: sqlite3.Connection) -> list[tuple]:
    return [*conn.execute("SELECT * FROM notes"), *conn.execute("SELECT * FROM parts")]


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_deleted_is_left_and_nothing_else_is_touched(database: Database, seed):
    await live_a_while(database, seed)
    await database.checkpoint()
    await database.write(forget_ada)
    kept = await database.read(everything)
    assert kept
    await database.scrub()
    assert traces(database.path) == 0
    assert await database.read(everything) == kept
    assert await database.read(lambda conn: conn.execute("PRAGMA integrity_check").fetchall()) == [("ok",)]
    # What is written later brings nothing back: not from the writer's memory either.
    await database.write(lambda tx: tx.execute("UPDATE notes SET text = text || 'x'"))
    await database.write(lambda tx: tx.execute("UPDATE parts SET text = 'short'"))
    assert await database.empty_log()
    assert traces(database.path) == 0
    assert await database.read(lambda conn: conn.execute("PRAGMA integrity_check").fetchall()) == [("ok",)]


async def test_secure_deletes_alone_would_leave_traces(database: Database):
    """Or all of this would be for nothing: the day this fails, SQLite zeroes what it moves."""
    await live_a_while(database, 1)
    await database.checkpoint()
    await database.write(forget_ada)
    assert await database.empty_log()
    assert traces(database.path) > 0


async def test_a_reader_that_needs_the_log_is_waited_for(database: Database, tmp_path):
    await live_a_while(database, 0)
    reader = sqlite3.connect(database.path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM notes").fetchone()
    await database.write(forget_ada)
    assert not await database.empty_log()
    reader.close()
    await database.scrub()
    assert traces(database.path) == 0


def test_pages_that_only_look_like_tables_stay(tmp_path):
    """Maps of pointers, and pages of a long text that begins like a page's header."""
    path = tmp_path / "some.db"
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("PRAGMA auto_vacuum=INCREMENTAL")
    conn.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, bytes BLOB)")
    looks = b"\x0d\x00\x00\x00\x01\x0f\xff\x00" + b"z" * 4088
    for number in range(30):
        conn.execute("INSERT INTO t VALUES (?, ?)", (number, looks * 40))
    before = path.read_bytes()
    fd = os.open(path, os.O_RDWR)
    shape = read_shape(fd)
    assert shape.mapped
    assert scrub(fd, shape, range(1, len(before) // shape.page_bytes + 5)) == len(find_dirty(fd, shape)) == 0
    assert path.read_bytes() == before
    assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    conn.close()
    os.close(fd)


async def test_a_file_without_maps_is_written_anew(tmp_path):
    path = tmp_path / "alloyd.db"
    conn = sqlite3.connect(path)
    conn.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, whose TEXT, text TEXT) STRICT")
    conn.execute("CREATE TABLE parts (note TEXT, k TEXT, text TEXT, PRIMARY KEY (note, k)) WITHOUT ROWID")
    conn.commit()
    conn.close()
    database = await Database.open(path, ManualClock())
    try:
        await live_a_while(database, 1)
        await database.write(forget_ada)
        kept = await database.read(everything)
        await database.scrub()
        assert traces(path) == 0
        assert await database.read(everything) == kept
    finally:
        await database.close()
