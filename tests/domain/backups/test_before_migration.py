"""The copy that is made before a migration."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing

import pytest

from alloyd.db import migrate as migrations
from alloyd.db.migrate import migrate
from alloyd.domain.backups import before_migration as module
from alloyd.domain.backups.before_migration import KEPT, back_up_before_migration
from alloyd.errors import AlloydError, Code

NOW_MS = 1_767_225_600_000


@pytest.fixture
def place(tmp_path):
    (tmp_path / "backups").mkdir()
    return tmp_path


@pytest.fixture
def database(place):
    path = place / "alloyd.db"
    migrate(path)
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("INSERT INTO meta (key, value) VALUES ('kept', 'x')")
        conn.commit()
    return path


@pytest.fixture
def newer(monkeypatch):
    """As if the program had one more migration."""
    name = "9999_next.sql"
    read = migrations.read_migration
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, name))
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", migrations.SCHEMA_VERSION + 1)
    monkeypatch.setattr(
        migrations, "read_migration", lambda wanted: "CREATE TABLE t (a);" if wanted == name else read(wanted)
    )
    return migrations.SCHEMA_VERSION


def copies(place):
    return sorted(path.name for path in (place / "backups").iterdir())


def test_nothing_to_migrate_nothing_copied(place, database):
    assert back_up_before_migration(database, place / "backups", NOW_MS) is None
    assert back_up_before_migration(place / "new.db", place / "backups", NOW_MS) is None
    assert copies(place) == []
    assert not (place / "new.db").exists()


def test_the_copy_is_whole_and_of_the_version_before(place, database, newer):
    copy = back_up_before_migration(database, place / "backups", NOW_MS)
    migrate(database)
    assert copy.name == f"before-migration-{newer - 1}-20260101T000000Z.db"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as conn:
        assert conn.execute("PRAGMA user_version").fetchone()[0] == newer - 1
        assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert conn.execute("SELECT value FROM meta WHERE key = 'kept'").fetchone() == ("x",)
    with closing(sqlite3.connect(database)) as conn:
        assert conn.execute("PRAGMA user_version").fetchone()[0] == newer


def test_what_is_only_in_the_log_is_copied_too(place, database, newer):
    with closing(sqlite3.connect(database)) as conn:
        conn.execute("INSERT INTO meta (key, value) VALUES ('fresh', 'x')")
        conn.commit()
        copy = back_up_before_migration(database, place / "backups", NOW_MS)
    with closing(sqlite3.connect(copy)) as conn:
        assert conn.execute("SELECT count(*) FROM meta WHERE key = 'fresh'").fetchone() == (1,)


def test_only_the_newest_are_kept_and_nothing_else_is_touched(place, database, newer):
    (place / "backups" / "mine.tar").write_text("x")
    (place / "backups" / "before-migration-1-20250101T000000Z.db.partial").write_text("cut off by a crash")
    made = [back_up_before_migration(database, place / "backups", NOW_MS).name for _ in range(KEPT + 2)]
    assert made[1].endswith("20260101T000000Z-2.db")  # at the same time, so another name
    assert copies(place) == sorted(["mine.tar", *made[-KEPT:]])


def test_a_damaged_database_is_not_copied_and_says_so(place, database, newer):
    with closing(sqlite3.connect(database)) as conn:
        root = conn.execute("SELECT rootpage FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
    with database.open("r+b") as file:
        file.seek((root - 1) * 4096 + 8)
        file.write(b"\xff" * 200)
    with pytest.raises(AlloydError, match="was not migrated") as caught:
        back_up_before_migration(database, place / "backups", NOW_MS)
    assert caught.value.code is Code.UNAVAILABLE
    assert copies(place) == []


def test_a_disk_that_is_too_small_keeps_it_from_being_migrated(place, database, newer, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "copy_database", full)
    with pytest.raises(AlloydError, match="no copy was made before the migration: the disk is full"):
        back_up_before_migration(database, place / "backups", NOW_MS)
    assert copies(place) == []


def test_a_newer_schema_is_refused_before_anything_is_copied(place, database):
    with closing(sqlite3.connect(database)) as conn:
        conn.execute("PRAGMA user_version=999")
    with pytest.raises(AlloydError) as caught:
        back_up_before_migration(database, place / "backups", NOW_MS)
    assert caught.value.code is Code.CONFLICT
    assert copies(place) == []
