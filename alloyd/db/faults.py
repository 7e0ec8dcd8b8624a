"""What SQLite's error codes mean for the caller: try later, or end the process."""

from __future__ import annotations

import sqlite3

from alloyd.errors import AlloydError, Code

_FSYNC_FAILED = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def is_fatal(error: BaseException) -> bool:
    """Whether going on would risk data: after a failed fsync nobody knows what the disk holds."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) in _FSYNC_FAILED


def is_disk_fault(error: BaseException) -> bool:
    """Whether the disk, not the statement, is at fault."""
    if not isinstance(error, sqlite3.Error):
        return False
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        *_DAMAGED,
    )


def describe(error: BaseException) -> str:
    """The fault in an operator's words."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return "the disk is full"
    if code == sqlite3.SQLITE_READONLY:
        return "the database can't be written: the disk or the file is read-only"
    if code in _DAMAGED:
        return "the database file is damaged; restore a backup"
    return f"the disk failed ({getattr(error, 'sqlite_errorname', 'unknown error')})"


def to_caller(error: BaseException) -> BaseException:
    """The error a caller gets: disk faults become ``unavailable``, all else stays as it is."""
    if is_disk_fault(error):
        text = describe(error)
        return AlloydError(Code.UNAVAILABLE, f"nothing was stored: {text}", log=str(error), retry_after_s=5)
    return error
