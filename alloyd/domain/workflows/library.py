"""Looking workflows up: lists with triggers, versions, drawings, and definitions as text with the lines of faults."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass, replace
from typing import Any, Final

from alloyd.db import Database
from alloyd.domain.workflows import store, store_library
from alloyd.domain.workflows.model import Drawing, Fault, ListedVersion, ListedWorkflow, draw
from alloyd.domain.workflows.service import WorkflowService
from alloyd.errors import AlloydError, Code, not_found
from alloyd.kit.documents import DocumentError, Parsed, read_one, to_yaml
from alloyd.principal import Principal

# YAML takes its reader a few seconds per MiB.
TEXT_CHARS_MAX: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class PlacedFault:
    """A fault with the line of the text where it stands, counted from 1; None where nobody can tell."""

    path: str
    message: str
    line: int | None


@dataclass(frozen=True, slots=True)
class ReadText:
    """What a text says: ``definition`` is None when it is none, ``drawing`` when it is a draft or faulty."""

    definition: dict[str, Any] | None
    drawing: Drawing | None
    faults: list[PlacedFault]


class WorkflowLibrary:
    """Shows workflows to people; changes nothing."""

    def __init__(self, database: Database, workflows: WorkflowService) -> None:
        self._database = database
        self._workflows = workflows

    async def list_page(
        self, principal: Principal, named: str | None, before_id: str | None, limit: int
    ) -> list[ListedWorkflow]:
        """A page of the organization's workflows whose names hold ``named``, newest first."""
        return await self._database.read(
            lambda conn: store_library.list_page(conn, principal.org_id, named, before_id, limit)
        )

    async def list_versions(
        self, principal: Principal, workflow_id: str, before: int | None, limit: int
    ) -> list[ListedVersion]:
        """A page of a workflow's versions, newest first, with the names that they have. Raises ``not_found``."""
        org_id = principal.org_id

        def read(conn: sqlite3.Connection) -> list[ListedVersion]:
            if store.find_by_id(conn, org_id, workflow_id) is None:
                raise not_found("workflow")
            labels: dict[int, list[str]] = {}
            for release in store.list_releases(conn, org_id, workflow_id):
                labels.setdefault(release.version, []).append(release.label)
            found = store_library.list_versions(conn, org_id, workflow_id, before, limit)
            return [replace(each, releases=tuple(labels.get(each.version, ()))) for each in found]

        return await self._database.read(read)

    async def draw(self, principal: Principal, workflow_id: str, version: int | None = None) -> Drawing:
        """The graph of a version, the newest without: nothing for a draft. Raises ``not_found``, and ``unprocessable``
        for one that can't run any more."""
        found = await self._workflows.get(principal, workflow_id, version)
        if found.published_at is None:
            return Drawing([], [])
        return draw(await self._workflows.get_graph(principal.org_id, workflow_id, found.version))

    async def write_text(self, principal: Principal, workflow_id: str, version: int | None = None) -> tuple[int, str]:
        """A version, the newest without, and its definition as YAML, secrets masked. Raises ``not_found``."""
        found = await self._workflows.get(principal, workflow_id, version)
        return found.version, await asyncio.to_thread(to_yaml, found.definition)

    async def read_text(self, text: str) -> ReadText:
        """What ``text``, YAML or JSON, defines, checked as publishing would. Raises ``too_large``."""
        if len(text) > TEXT_CHARS_MAX:
            raise AlloydError(Code.TOO_LARGE, f"text: longer than {TEXT_CHARS_MAX} characters", field="text")
        try:
            parsed = await asyncio.to_thread(read_one, text)
        except DocumentError as error:
            return ReadText(None, None, [PlacedFault("", error.problem, error.line)])
        definition = parsed.value
        if not isinstance(definition, dict):
            told = "a mapping such as `name: order-sync` is wanted"
            return ReadText(None, None, [PlacedFault("", told, parsed.lines.get(""))])
        try:
            graph, faults = self._workflows.compile(definition)
        except AlloydError as error:
            path = error.field or ""
            message = error.message.removeprefix(f"{path}: ")
            return ReadText(definition, None, await _place(text, parsed, [Fault(path, message)]))
        return ReadText(definition, None if graph is None else draw(graph), await _place(text, parsed, faults))


async def _place(text: str, parsed: Parsed, faults: list[Fault]) -> list[PlacedFault]:
    if faults and not parsed.lines:
        parsed = await asyncio.to_thread(_with_lines, text, parsed)
    return [PlacedFault(fault.path, fault.message, parsed.line_of(fault.path)) for fault in faults]


def _with_lines(text: str, parsed: Parsed) -> Parsed:
    """JSON's reader is fast and notes no lines; YAML's can read nearly all JSON."""
    try:
        return read_one(text, keep_lines=True)
    except DocumentError:
        return parsed
