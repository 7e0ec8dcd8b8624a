"""What a write leaves in the audit trail: a note, which becomes a row at the end of the group, before its commit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from alloyd.kit.stamp import Stamp

OK = "ok"
REFUSED = "refused"
FAILED = "failed"


@dataclass(slots=True)
class Note:
    """One row to be. ``count`` is how many things or refusals it stands for; ``status`` an HTTP status."""

    org_id: str
    actor_kind: str
    actor_id: str
    action: str
    target: str = ""
    outcome: str = OK
    status: int | None = None
    changed: tuple[str, ...] = ()
    count: int = 1
    route: str = ""
    address: str = ""
    request_id: str = ""


def note_of(stamp: Stamp, org_id: str, target: str) -> Note:
    """The note of a write on ``target`` that ``stamp``'s request asked for."""
    return Note(
        org_id or stamp.org_id,
        stamp.actor_kind,
        stamp.actor_id,
        stamp.action,
        target,
        OK,
        stamp.status,
        stamp.changed,
        1,
        stamp.route,
        stamp.address,
        stamp.request_id,
    )


def target_of(event: Any) -> str:
    """What an event happened to: ``team.created`` of some subject to ``team:<subject>``."""
    if event.run_id == event.subject:  # also of what is told of a run's steps
        return f"run:{event.subject}"
    return f"{_kind_of_thing(event.kind)}:{event.subject}"


@lru_cache(maxsize=512)
def _kind_of_thing(event_kind: str) -> str:
    *things, _verb = event_kind.split(".")
    return things[-1] if things else event_kind
