"""Numbered releases: the labels that end users' copies of a workflow go by, in their order."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import Final

from alloyd.domain.workflows import store
from alloyd.domain.workflows.model import Workflow
from alloyd.domain.workflows.triggers import EventTrigger, read_trigger
from alloyd.errors import not_found
from alloyd.kit.event_names import is_pattern
from alloyd.kit.ids import is_uuid

# What a workflow without a numbered release is released as: its published version, whichever that is at the time.
IMPLIED_LABEL: Final = "1.0.0"

_NUMBERED: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*\Z")


@dataclass(frozen=True, slots=True)
class Numbered:
    """A release whose label is dotted numbers."""

    label: str
    version: int

    @property
    def order(self) -> tuple[tuple[int, ...], int]:
        """Sorts releases: by the numbers of the label (1.0 is 1.0.0), among equals by the version."""
        numbers = [int(part) for part in self.label.split(".")]
        while numbers and numbers[-1] == 0:
            numbers.pop()
        return tuple(numbers), self.version


def is_numbered(label: str) -> bool:
    """Whether ``label`` is dotted numbers, such as 2.0.0; others (``beta``, ``1.0.0-rc1``) are not for end users."""
    return _NUMBERED.match(label) is not None


def find_workflow(conn: sqlite3.Connection, org_id: str, id_or_name: str) -> Workflow | None:
    """The organization's workflow of that id or name."""
    try:
        id_or_name.encode()
    except UnicodeEncodeError:
        return None
    find = store.find_by_id if is_uuid(id_or_name) else store.find_by_name
    return find(conn, org_id, id_or_name)


def require_workflow(conn: sqlite3.Connection, org_id: str, id_or_name: str) -> Workflow:
    """:func:`find_workflow`. Raises ``not_found``."""
    workflow = find_workflow(conn, org_id, id_or_name)
    if workflow is None:
        raise not_found("workflow")
    return workflow


def list_numbered(conn: sqlite3.Connection, workflow: Workflow) -> list[Numbered]:
    """The workflow's numbered releases, newest first. Without any, the published version counts as ``IMPLIED_LABEL``;
    nothing at all is there to install of a draft."""
    found = [
        Numbered(release.label, release.version)
        for release in store.list_releases(conn, workflow.org_id, workflow.id)
        if is_numbered(release.label)
    ]
    if not found and workflow.published_version is not None:
        found.append(Numbered(IMPLIED_LABEL, workflow.published_version))
    return sorted(found, key=lambda release: release.order, reverse=True)


def find_event(conn: sqlite3.Connection, org_id: str, workflow_id: str, version: int) -> str | None:
    """The event whose name is the trigger of that version; None for another trigger, and for a pattern of names."""
    found = store.find_version(conn, org_id, workflow_id, version)
    trigger, faults = read_trigger(None if found is None else found.definition.get("trigger"))
    if not isinstance(trigger, EventTrigger) or faults or is_pattern(trigger.event):
        return None
    return trigger.event
