"""Copies of the database: made while it is written to, checked, opened. These functions block; run them in a thread."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from alloyd.db import faults
from alloyd.errors import AlloydError, Code

COPY_STEP_PAGES = 1024
BUSY_PAUSE_S = 0.05
# How often a check asks whether to go on, in instructions of SQLite's machine.
CHECK_STEP_INSTRUCTIONS = 100_000

KeepGoing = Callable[[], None]


def go_on() -> None:
    """The :data:`KeepGoing` of work that nobody stops."""


def copy_database(source: Path, target: Path, free_bytes_min: int = 0, keep_going: KeepGoing = go_on) -> int:
    """Write the database at ``source`` as it is now to the new file ``target``, durably; its size in bytes.

    One read transaction is held from the first page to the last: what others commit meanwhile does not come in, and
    does not make SQLite's backup start over. ``keep_going`` is called between steps and stops the copy by raising.
    ``free_bytes_min`` bytes stay free on the target's disk. Raises ``unavailable``, and leaves no target then.
    """
    try:
        with closing(_open(source, "mode=rw")) as conn:
            conn.execute("PRAGMA query_only=ON")
            conn.execute("BEGIN")
            conn.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the snapshot begins with the first read
            pages, page_bytes = (conn.execute(ask).fetchone()[0] for ask in ("PRAGMA page_count", "PRAGMA page_size"))
            size: int = pages * page_bytes
            check_space(target.parent, size, free_bytes_min)
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            with closing(_open(target, "mode=rw")) as copy:
                copy.execute("PRAGMA synchronous=OFF")  # fsynced once, below
                copy.execute("PRAGMA journal_mode=OFF")
                conn.backup(
                    copy,
                    pages=COPY_STEP_PAGES,
                    progress=lambda _status, _remaining, _total: keep_going(),
                    sleep=BUSY_PAUSE_S,
                )
        _sync(target)
    except BaseException as error:
        target.unlink(missing_ok=True)
        if isinstance(error, sqlite3.Error):
            raise _failed("the database can't be copied", error) from error
        raise
    return size


def check_database(path: Path, keep_going: KeepGoing = go_on) -> int:
    """Check every page, index and foreign key of a copy that nobody writes to; its schema's version.

    Raises ``unprocessable`` with what is wrong.
    """
    try:
        with closing(open_copy(path)) as conn:
            conn.execute("PRAGMA cell_size_check=ON")
            conn.set_progress_handler(lambda: _asked_to_stop(keep_going), CHECK_STEP_INSTRUCTIONS)
            try:
                found = conn.execute("PRAGMA integrity_check(1)").fetchone()[0]
                broken = conn.execute("PRAGMA foreign_key_check").fetchone()
            except sqlite3.OperationalError:
                keep_going()  # if it was this that stopped the check, it says so itself
                raise
            version = read_schema_version(conn)
    except sqlite3.Error as error:
        raise AlloydError(Code.UNPROCESSABLE, "the database in it is damaged", log=str(error)) from error
    if found != "ok":
        raise AlloydError(Code.UNPROCESSABLE, "the database in it is damaged", log=str(found))
    if broken is not None:
        message = f"the database in it is damaged: a row of {broken[0]} leads to one that is not there"
        raise AlloydError(Code.UNPROCESSABLE, message)
    return version


def open_copy(path: Path) -> sqlite3.Connection:
    """A connection that reads a copy that nobody writes to; it leaves no file beside it."""
    conn = _open(path, "mode=ro&immutable=1")
    conn.execute("PRAGMA trusted_schema=OFF")
    return conn


def read_schema_version(conn: sqlite3.Connection) -> int:
    """The schema's version of a database."""
    version: int = conn.execute("PRAGMA user_version").fetchone()[0]
    return version


def check_space(directory: Path, bytes_needed: int, free_bytes_min: int) -> None:
    """Raises ``unavailable`` unless the disk of ``directory`` keeps ``free_bytes_min`` when that much is written."""
    free = shutil.disk_usage(directory).free
    if free < bytes_needed + free_bytes_min:
        message = f"too little disk space: {bytes_needed} bytes are needed, {max(0, free - free_bytes_min)} are free"
        raise AlloydError(Code.UNAVAILABLE, message, log=str(directory))


def _open(path: Path, parameters: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?{parameters}", uri=True, isolation_level=None)


def _asked_to_stop(keep_going: KeepGoing) -> int:
    try:
        keep_going()
    except Exception:
        return 1
    return 0


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _failed(what: str, error: sqlite3.Error) -> AlloydError:
    return AlloydError(Code.UNAVAILABLE, f"{what}: {faults.describe(error)}", log=str(error), retry_after_s=60)
