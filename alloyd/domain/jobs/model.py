"""What a job is, and the one-step workflow that every job is a run of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import msgspec

from alloyd.domain.runs.model import RunState, StepError

TRIGGER_KIND: Final = "job"

# alloyd's own workflow, in no list and of no organization. Runs are pinned to a version, so versions only get more.
WORKFLOW_ID: Final = "00000000-0000-7000-8000-000000000001"
WORKFLOW_VERSIONS: Final[Mapping[int, Mapping[str, Any]]] = {
    1: {
        "name": "job",
        "nodes": [
            {
                "key": "execute",
                "operation": "ai.execute",
                "config": {
                    "modality": "{{ trigger.modality }}",
                    "input": "{{ trigger.input }}",
                    "model": "{{ trigger.model }}",
                    "provider": "{{ trigger.provider }}",
                    "tier": "{{ trigger.tier }}",
                    "params": "{{ trigger.params }}",
                },
            }
        ],
    }
}


class JobStatus(StrEnum):
    """Where a job stands. A cancelled one has failed, with the error ``cancelled``."""

    PENDING = "pending"
    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"


_STATUS: Final[Mapping[RunState, JobStatus]] = {
    RunState.PENDING: JobStatus.PENDING,
    RunState.QUEUED: JobStatus.PENDING,
    RunState.RUNNING: JobStatus.STARTED,
    RunState.WAITING: JobStatus.STARTED,
    RunState.COMPLETED: JobStatus.COMPLETED,
    RunState.FAILED: JobStatus.FAILED,
    RunState.CANCELLED: JobStatus.FAILED,
}
ENDED: Final = frozenset({JobStatus.COMPLETED, JobStatus.FAILED})


def status_of(state: RunState) -> JobStatus:
    """The status of a job whose run is in ``state``."""
    return _STATUS[state]


class Asked(msgspec.Struct, frozen=True):
    """What a job asks the gateway for; its run's payload."""

    modality: str
    input: Any
    model: str | None = None
    provider: str | None = None
    tier: str | None = None
    params: dict[str, Any] = {}


class Notes(msgspec.Struct, frozen=True):
    """What a list shows of a job; its run's metadata. ``estimated_micro_usd`` None: no price is known."""

    modality: str
    model: str | None = None
    provider: str | None = None
    tier: str | None = None
    estimated_micro_usd: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job. ``asked`` and ``result`` are not read for lists; times are ms since the epoch."""

    id: str
    org_id: str
    status: JobStatus
    notes: Notes
    started_by: str
    created_at: int
    started_at: int | None = None
    ended_at: int | None = None
    error: StepError | None = None
    asked: Asked | None = None
    result: Mapping[str, Any] = field(default_factory=dict)  # what ai.execute gave


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Narrows a list of jobs; times in ms since the epoch."""

    status: JobStatus | None = None
    modality: str | None = None
    created_from: int | None = None
    created_to: int | None = None
