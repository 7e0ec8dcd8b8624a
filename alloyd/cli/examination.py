"""The checks of `alloyd doctor` on the machine and the data directory."""

from __future__ import annotations

import os
import re
import resource
import shutil
import sqlite3
import stat
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from alloyd.cli.output import format_bytes
from alloyd.cli.version import version_line
from alloyd.config import Config
from alloyd.db.examine import find_damage
from alloyd.db.migrate import SCHEMA_VERSION, plan
from alloyd.errors import AlloydError
from alloyd.process.datadir import PRIVATE_MODE, DataDir, LockOwner

PYTHON_MIN: Final = (3, 11)
# From here on SQLite's race between a checkpoint and another writer is mended.
SQLITE_WITHOUT_RACE: Final = (3, 51, 3)
OPEN_FILES_ADVISED: Final = 8192
# A clock that stands before this program was written, or before what is in the directory, is wrong.
EARLIEST_S: Final = 1_750_000_000
CLOCK_TOLERANCE_S: Final = 120

_OPEN_FILES: Final = re.compile(r"^Max open files\s+(\d+|unlimited)", re.MULTILINE)


class State(StrEnum):
    """How a check went; only a fault makes the command fail."""

    OK = "ok"
    ADVICE = "advice"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, and what to do about it."""

    state: State
    message: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined; ``owner`` holds the data directory's lock at this moment."""

    config: Config
    data_dir: DataDir
    owner: LockOwner | None


def ok(message: str) -> Finding:
    """Nothing to do."""
    return Finding(State.OK, message)


def fault(message: str, advice: str) -> Finding:
    """Something that has to be mended."""
    return Finding(State.FAULT, message, advice)


def advise(message: str, advice: str) -> Finding:
    """Something that would better be otherwise."""
    return Finding(State.ADVICE, message, advice)


def check_versions(_subject: Subject) -> Finding:
    """Python and SQLite."""
    if sys.version_info < PYTHON_MIN:
        return fault(version_line(), "use Python 3.11 or newer")
    if sqlite3.sqlite_version_info < SQLITE_WITHOUT_RACE:
        return ok(
            f"{version_line()}; this SQLite has a race between a checkpoint and another writer, which alloyd is safe"
            " from: one connection does both"
        )
    return ok(version_line())


def check_daemon(subject: Subject) -> Finding:
    """Who has the data directory."""
    return ok("none runs on this data directory" if subject.owner is None else f"{subject.owner}")


def check_directory(subject: Subject) -> Finding:
    """Whether the data directory is there, whose it is, and that nobody else gets in."""
    data_dir = subject.data_dir
    try:
        about = data_dir.root.stat()
    except OSError as error:
        return advise(f"{data_dir.root}: {error.strerror}", "`alloyd init` or `alloyd serve` makes it")
    mode = stat.S_IMODE(about.st_mode)
    shown = f"{data_dir.root} has mode {mode:o}"
    if mode & stat.S_IWOTH:
        return fault(f"{shown}: anybody may write to it", f"chmod 700 {data_dir.root}")
    if about.st_uid != os.geteuid():
        return fault(f"{data_dir.root} belongs to another user", "run alloyd as its owner, or give it away with chown")
    if not os.access(data_dir.root, os.R_OK | os.W_OK | os.X_OK):
        return fault(f"{data_dir.root} can't be written to", f"chmod 700 {data_dir.root}")
    if mode & ~PRIVATE_MODE:
        return advise(f"{shown}: others may look into it", f"chmod 700 {data_dir.root}")
    return ok(shown)


def check_disk(subject: Subject) -> Finding:
    """Whether there is room for new work."""
    place = subject.data_dir.root
    while not place.exists():
        place = place.parent
    usage = shutil.disk_usage(place)
    least = subject.config.data.disk_free_bytes_min
    shown = f"{format_bytes(usage.free)} of {format_bytes(usage.total)} are free"
    if usage.free < least:
        return fault(
            f"{shown}; with less than {format_bytes(least)} new work is refused",
            "make room, or set data.disk_free_bytes_min lower",
        )
    if usage.free < 4 * least:
        return advise(f"{shown}; from {format_bytes(least)} on new work is refused", "make room soon")
    return ok(shown)


def check_database(subject: Subject) -> Finding:
    """Whether the database is whole and of a schema that this program knows."""
    path = subject.data_dir.database
    if not path.exists():
        return advise("there is none yet", "`alloyd init` or `alloyd serve` makes it")
    damage = find_damage(path)
    if damage:
        return fault(f"it is damaged: {damage[0]}", "stop the daemon and restore a backup: `alloyd restore FILE`")
    try:
        waiting = plan(path).files
    except AlloydError as error:
        return fault(error.message, "use the newer program, or restore an older backup")
    size = format_bytes(path.stat().st_size)
    if waiting:
        return ok(f"{size}, whole; the next start migrates it to schema {SCHEMA_VERSION}")
    return ok(f"{size}, whole, schema {SCHEMA_VERSION}")


def check_clock(subject: Subject) -> Finding:
    """Whether the clock can be right: times of events and of keys depend on it."""
    now_s = time.time()
    advice = "set the clock, and keep it with systemd-timesyncd or chrony"
    if now_s < EARLIEST_S:
        return fault(f"it says {_shown(now_s)}, which is long past", advice)
    newest_s = _newest_change_s(subject.data_dir)
    if newest_s > now_s + CLOCK_TOLERANCE_S:
        return fault(f"it says {_shown(now_s)}, and the data was written at {_shown(newest_s)}", advice)
    return ok(_shown(now_s))


def check_open_files(subject: Subject) -> Finding:
    """How many connections and files the daemon may have open; of the running one if there is one."""
    limit = _limit_of(subject.owner) if subject.owner is not None else None
    if limit is None:
        # serve raises its own limit as far as it may.
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limit = sys.maxsize if hard == resource.RLIM_INFINITY else hard
    shown = "unlimited" if limit == sys.maxsize else str(limit)
    if limit < OPEN_FILES_ADVISED:
        return advise(
            f"at most {shown}", f"allow {OPEN_FILES_ADVISED} or more: LimitNOFILE= in the unit, or ulimit -Hn"
        )
    return ok(f"at most {shown}")


def _newest_change_s(data_dir: DataDir) -> float:
    """When the database was last written to; 0 without one."""
    newest = 0.0
    for path in (data_dir.database, data_dir.database.with_name(f"{data_dir.database.name}-wal")):
        try:
            newest = max(newest, path.stat().st_mtime)
        except OSError:
            continue
    return newest


def _limit_of(owner: LockOwner) -> int | None:
    try:
        text = Path(f"/proc/{owner.pid}/limits").read_text(encoding="ascii")
    except OSError:
        return None
    match = _OPEN_FILES.search(text)
    if match is None:
        return None
    return sys.maxsize if match[1] == "unlimited" else int(match[1])


def _shown(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))


# In the order in which they are told.
CHECKS: Final[Sequence[tuple[str, Callable[[Subject], Finding]]]] = (
    ("versions", check_versions),
    ("daemon", check_daemon),
    ("data directory", check_directory),
    ("disk", check_disk),
    ("database", check_database),
    ("clock", check_clock),
    ("open files", check_open_files),
)
