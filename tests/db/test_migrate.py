"""Migrations: the golden schema, newer ones refused, a crash in the middle."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from alloyd.db import migrate as module
from alloyd.db.migrate import SCHEMA_VERSION, dump_schema, make_schema, migrate, plan
from alloyd.errors import AlloydError, Code


def version_of(path):
    with closing(sqlite3.connect(path)) as conn:
        return conn.execute("PRAGMA user_version").fetchone()[0]


def schema_of(path):
    with closing(sqlite3.connect(path)) as conn:
        return dump_schema(conn)


@pytest.fixture
def two_steps(monkeypatch):
    """As if the next release had another migration."""
    scripts = {
        "0001_first.sql": "CREATE TABLE a (x INTEGER) STRICT;",
        "0002_more.sql": "CREATE TABLE b (y INTEGER) STRICT;\nINSERT INTO b SELECT x FROM a;\nDROP TABLE a;",
    }
    monkeypatch.setattr(module, "MIGRATIONS", tuple(scripts))
    monkeypatch.setattr(module, "SCHEMA_VERSION", 2)
    monkeypatch.setattr(module, "read_migration", scripts.__getitem__)
    return scripts


def at_version_one(path, scripts):
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("PRAGMA auto_vacuum=INCREMENTAL")
        conn.execute("PRAGMA journal_mode=WAL")
        conn.executescript(scripts["0001_first.sql"] + "INSERT INTO a VALUES (1), (2); PRAGMA user_version=1;")


def test_the_golden_schema_is_what_the_migrations_make(path):
    golden = Path(module.__file__).with_name("schema.sql").read_text()
    assert golden == make_schema(), "run `make docs`"
    assert golden.endswith(schema_of(path))


def test_a_new_database_is_as_the_program_wants_it(path):
    assert version_of(path) == SCHEMA_VERSION
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA auto_vacuum").fetchone()[0] == 2
        assert conn.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        tables = conn.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        assert all("STRICT" in sql for (sql,) in tables)


def test_migrating_again_changes_nothing(path):
    before = path.read_bytes()
    assert migrate(path).files == ()
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused_untouched(path):
    with closing(sqlite3.connect(path)) as conn:
        conn.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    for refuses in (plan, migrate):
        with pytest.raises(AlloydError, match="newer program") as caught:
            refuses(path)
        assert caught.value.code is Code.CONFLICT
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_what_is_no_database_is_refused_untouched(tmp_path, content):
    path = tmp_path / "alloyd.db"
    path.write_bytes(content)
    with pytest.raises(AlloydError) as caught:
        migrate(path)
    assert caught.value.code is Code.UNAVAILABLE
    assert "damaged" in caught.value.message
    assert path.read_bytes() == content


def test_a_damaged_database_is_not_migrated(tmp_path, two_steps):
    path = tmp_path / "alloyd.db"
    at_version_one(path, two_steps)
    with closing(sqlite3.connect(path)) as conn:
        conn.executemany("INSERT INTO a VALUES (?)", [(number,) for number in range(5000)])
        conn.commit()
        root = conn.execute("SELECT rootpage FROM sqlite_master WHERE name = 'a'").fetchone()[0]
        size = conn.execute("PRAGMA page_size").fetchone()[0]
    with path.open("r+b") as file:
        file.seek((root - 1) * size + 8)
        file.write(b"\xff" * 64)
    with pytest.raises(AlloydError, match="damaged") as caught:
        migrate(path)
    assert caught.value.code is Code.UNAVAILABLE
    assert version_of(path) == 1


def test_migrations_are_applied_in_order_and_keep_the_rows(tmp_path, two_steps):
    path = tmp_path / "alloyd.db"
    at_version_one(path, two_steps)
    done = migrate(path)
    assert (done.from_version, done.files) == (1, ("0002_more.sql",))
    assert version_of(path) == 2
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("SELECT y FROM b ORDER BY y").fetchall() == [(1,), (2,)]


def test_a_failing_migration_leaves_the_earlier_version_whole(tmp_path, two_steps):
    path = tmp_path / "alloyd.db"
    at_version_one(path, two_steps)
    before = schema_of(path)
    two_steps["0002_more.sql"] += "\nSELECT nonsense;"
    with pytest.raises(sqlite3.OperationalError, match="nonsense"):
        migrate(path)
    assert (version_of(path), schema_of(path)) == (1, before)


CRASH = """
import os, sqlite3, sys
from alloyd.db import migrate as module
scripts = {"0001_first.sql": "", "0002_more.sql": sys.argv[2]}
module.MIGRATIONS, module.SCHEMA_VERSION = tuple(scripts), 2
module.read_migration = scripts.__getitem__
connect = sqlite3.connect

def dying(*args, **kwargs):
    conn = connect(*args, **kwargs)
    conn.set_trace_callback(lambda sql: os._exit(137) if sys.argv[3] in sql else None)
    return conn

sqlite3.connect = dying
from pathlib import Path
module.migrate(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("at", ["CREATE TABLE b", "INSERT INTO b", "DROP TABLE a", "PRAGMA user_version=2", "COMMIT"])
def test_a_crash_in_the_middle_leaves_the_earlier_version_whole(tmp_path, two_steps, at):
    path = tmp_path / "alloyd.db"
    at_version_one(path, two_steps)
    before = schema_of(path)
    ended = subprocess.run([sys.executable, "-c", CRASH, str(path), two_steps["0002_more.sql"], at], timeout=60)
    assert ended.returncode == 137
    assert (version_of(path), schema_of(path)) == (1, before)
    migrate(path)
    assert version_of(path) == 2
