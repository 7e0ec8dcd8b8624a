"""The copy of the database that is made before its schema is changed. It blocks; only the newest few are kept."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from alloyd.db.migrate import plan
from alloyd.db.snapshot import check_database, copy_database
from alloyd.domain.backups.creation import PARTIAL_SUFFIX, disk_fault, sync_directory
from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import rfc3339

KEPT = 3

_NAME = re.compile(r"before-migration-\d+-\d{8}T\d{6}Z(-\d+)?\.db\Z")
_PARTIAL = re.compile(r"before-migration-.*\.db" + re.escape(PARTIAL_SUFFIX) + r"(-journal|-wal|-shm)?\Z")


def back_up_before_migration(database: Path, backups: Path, now_ms: int) -> Path | None:
    """Copy the database at ``database`` into ``backups`` and check the copy, if a migration is about to change it.

    To be called before :func:`alloyd.db.migrate.migrate`, by the owner of the data directory; the copy, or None when
    there is nothing to migrate or the database is new. Keeps the newest :data:`KEPT` copies. Raises ``unavailable``
    when the database is damaged or the disk too small: then nothing is to be migrated. Contents are not copied: no
    migration touches them.
    """
    todo = plan(database)
    try:
        _remove(backups, _PARTIAL)
        if not todo.from_version or not todo.files:
            return None
        path = _free_name(backups, todo.from_version, now_ms)
        partial = path.with_name(path.name + PARTIAL_SUFFIX)
        copy_database(database, partial)
        try:
            check_database(partial)
        except AlloydError as error:
            partial.unlink(missing_ok=True)
            message = "the database is damaged, so it was not migrated; restore a backup"
            raise AlloydError(Code.UNAVAILABLE, message, log=error.log) from error
        partial.rename(path)
        sync_directory(backups)
        _remove_all_but_newest(backups)
    except OSError as error:
        raise disk_fault("no copy was made before the migration", error) from error
    return path


def _free_name(backups: Path, from_version: int, now_ms: int) -> Path:
    time = re.sub(r"[-:]|\.\d+", "", rfc3339(now_ms))
    path = backups / f"before-migration-{from_version}-{time}.db"
    again = 1
    while path.exists():
        again += 1
        path = backups / f"before-migration-{from_version}-{time}-{again}.db"
    return path


def _remove(backups: Path, pattern: re.Pattern[str]) -> None:
    for path in backups.iterdir():
        if pattern.match(path.name):
            path.unlink()


def _remove_all_but_newest(backups: Path) -> None:
    copies = [path for path in backups.iterdir() if _NAME.match(path.name)]
    copies.sort(key=lambda path: path.stat().st_mtime_ns)
    for path in copies[:-KEPT]:
        with suppress(OSError):
            path.unlink()
