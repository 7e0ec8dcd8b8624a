"""Brings a database file to this program's schema: numbered migrations, each in one transaction."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from alloyd.db import faults
from alloyd.errors import AlloydError, Code
from alloyd.kit import crash

# In order; the frozen executable can't list a directory it does not know, so the files are named here.
MIGRATIONS = (
    "0001_first.sql",
    "0002_identity.sql",
    "0003_teams.sql",
    "0004_audit.sql",
    "0005_engine.sql",
    "0006_triggers.sql",
    "0007_webhooks.sql",
    "0008_usage.sql",
    "0009_releases.sql",
    "0010_embedded.sql",
    "0011_connectors.sql",
    "0012_objects.sql",
    "0013_teammates.sql",
    "0014_bound_keys.sql",
    "0015_uninstalled.sql",
)
SCHEMA_VERSION = len(MIGRATIONS)

_SCHEMA_HEAD = "-- The whole schema, as the migrations make it; to be read, never run. Made by `make docs`.\n\n"

_PRAGMAS = ("PRAGMA auto_vacuum=INCREMENTAL", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """What :func:`migrate` would do: from which version, and which files."""

    from_version: int
    files: tuple[str, ...]


def plan(path: Path) -> MigrationPlan:
    """Which migrations the file at ``path`` lacks. Raises ``conflict`` when its schema is newer than the program."""
    version = _read_version(path)
    if version > SCHEMA_VERSION:
        raise AlloydError(
            Code.CONFLICT,
            f"the database has schema {version}, this program knows up to {SCHEMA_VERSION}: use the newer program",
        )
    return MigrationPlan(version, MIGRATIONS[version:])


def migrate(path: Path) -> MigrationPlan:
    """Apply what :func:`plan` names. A crash in the middle leaves a whole earlier version.

    The caller makes a backup first when ``from_version`` is not 0. Raises ``conflict`` for a newer schema, and
    ``unavailable`` when the file is damaged.
    """
    todo = plan(path)
    if not todo.files:
        return todo
    conn = sqlite3.connect(path, isolation_level=None)
    try:
        for pragma in _PRAGMAS:
            conn.execute(pragma)
        if todo.from_version:
            _check_integrity(conn)
        for number, name in enumerate(todo.files, start=todo.from_version + 1):
            script = read_migration(name)
            conn.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version={number};")
            crash.reach("migrate.before_commit")
            conn.execute("COMMIT")
            crash.reach("migrate.after_commit")
    except BaseException as error:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        if faults.is_disk_fault(error):
            raise faults.to_caller(error) from error
        raise
    finally:
        conn.close()
    return todo


def read_migration(name: str) -> str:
    """The text of one of :data:`MIGRATIONS`."""
    return (resources.files("alloyd.db") / "migrations" / name).read_text(encoding="utf-8")


def dump_schema(conn: sqlite3.Connection) -> str:
    """Every table and index as SQL, in a fixed order: what ``schema.sql`` holds."""
    rows = conn.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, name"
    )
    return "".join(f"{sql};\n\n" for (sql,) in rows)


def make_schema() -> str:
    """What ``schema.sql`` has to hold: the schema of a new database."""
    with closing(sqlite3.connect(":memory:")) as conn:
        for name in MIGRATIONS:
            conn.executescript(read_migration(name))
        return _SCHEMA_HEAD + dump_schema(conn)


def _read_version(path: Path) -> int:
    if not path.exists():
        return 0
    conn = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
    try:
        version: int = conn.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise AlloydError(Code.UNAVAILABLE, "the database file is damaged; restore a backup", log=str(error)) from error
    finally:
        conn.close()
    return version


def _check_integrity(conn: sqlite3.Connection) -> None:
    found = conn.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise AlloydError(Code.UNAVAILABLE, "the database file is damaged; restore a backup", log=str(found))


if __name__ == "__main__":
    Path(__file__).with_name("schema.sql").write_text(make_schema(), encoding="utf-8")
