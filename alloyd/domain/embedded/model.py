"""What the embedded API tells of end users' runs, and the bounds of what it takes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec

from alloyd.domain.runs.model import LoggedError, LoggedRun, RunState
from alloyd.errors import AlloydError, Code, bad_request
from alloyd.kit.event_names import EVENT_CHARS_MAX
from alloyd.kit.text import fault_of_line

TRIGGER_KIND: Final = "embedded"
PAGE_LIMIT: Final = 10
PAGE_LIMIT_MAX: Final = 30
PAGE_MAX: Final = 1_000_000


class LogStatus(StrEnum):
    """How a run stands in a log."""

    SUCCESS = "success"
    FAILURE = "failure"
    PENDING = "pending"


_STATUS = {
    RunState.COMPLETED: LogStatus.SUCCESS,
    RunState.FAILED: LogStatus.FAILURE,
    RunState.CANCELLED: LogStatus.FAILURE,
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """What an event brought about, durably: ids of runs. ``repeated``: a copy of an earlier request, which did it."""

    started: tuple[str, ...] = ()
    resumed: tuple[str, ...] = ()
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One run in a log: ``executed_at`` in ms since the epoch, ``duration_ms`` until its end, or until now."""

    id: str
    workflow_id: str
    status: LogStatus
    executed_at: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """One run that failed; the time in ms since the epoch."""

    id: str
    workflow_id: str
    message: str
    occurred_at: int


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge took away: so many runs, those that others called among them."""

    runs: int


def log_of(run: LoggedRun, workflow_id: str, now: int) -> LogEntry:
    """A run as a log has it."""
    duration = max(0, (now if run.ended_at is None else run.ended_at) - run.began_at)
    status = _STATUS.get(run.state, LogStatus.PENDING)
    return LogEntry(_id_of("log", run.run_id), workflow_id, status, run.began_at, duration)


def error_of(error: LoggedError, workflow_id: str) -> ErrorEntry:
    """A failed run as a list of errors has it."""
    return ErrorEntry(_id_of("err", error.run_id), workflow_id, error.message, error.occurred_at)


def _id_of(kind: str, run_id: str) -> str:
    return f"{kind}_{run_id.replace('-', '')}"


def check_event(event: str) -> str:
    """``event`` itself. Raises ``bad_request`` unless it is a line of 1 to :data:`EVENT_CHARS_MAX` characters."""
    fault = fault_of_line(event, EVENT_CHARS_MAX)
    if fault is not None:
        raise bad_request(f"event: {fault}", "event")
    return event


def check_data(data: dict[str, Any], bytes_max: int) -> bytes:
    """``data`` as JSON. Raises ``too_large`` above ``bytes_max`` bytes."""
    encoded = msgspec.json.encode(data)
    if len(encoded) > bytes_max:
        raise AlloydError(Code.TOO_LARGE, f"data: larger than {bytes_max} bytes", field="data")
    return encoded
