"""Looking workflows up: versions, the graph, and the definition as text, below ``/v1/workflow-definitions``."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from alloyd.domain.workflows.library import TEXT_CHARS_MAX, WorkflowLibrary
from alloyd.domain.workflows.model import Drawing, ListedVersion
from alloyd.domain.workflows.service import WorkflowService
from alloyd.kit.clock import rfc3339
from alloyd.wire.control.workflow_definitions import VersionQuery
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import Call, Route

_BYTES_OF_CHAR = 6  # the most that JSON takes for one, as an escape


class VersionBody(msgspec.Struct, frozen=True):
    """A version in a list: ``status`` is ``published`` or ``draft``, ``releases`` are its names."""

    version: int
    status: str
    releases: list[str]
    created_by: str
    created_at: str
    published_at: str | None


class TextBody(msgspec.Struct, frozen=True):
    """A definition as YAML, its secrets masked."""

    version: int
    text: str


class ReadRequest(msgspec.Struct, frozen=True):
    """A definition as YAML or JSON."""

    text: Annotated[str, msgspec.Meta(max_length=TEXT_CHARS_MAX)]


class LinedFault(msgspec.Struct, frozen=True):
    """A fault with its place in the definition and its line in the text, from 1; null where nobody can tell."""

    path: str
    message: str
    line: int | None


class ReadBody(msgspec.Struct, frozen=True):
    """What a text defines: ``definition`` is null when it is none, ``graph`` for a draft or a faulty one."""

    valid: bool
    definition: dict[str, Any] | None
    faults: list[LinedFault]
    graph: Drawing | None


class LibraryRoutes:
    """Handlers over the library."""

    def __init__(self, library: WorkflowLibrary, limits: PageLimits) -> None:
        self._library = library
        self._pager = Pager("workflow-versions", limits, int)

    async def list_versions(self, call: Call) -> list[VersionBody]:
        """A workflow's versions, newest first."""
        page = self._pager.read(call.query)
        before = page.after[0] if page.after else None
        found = await self._library.list_versions(call.who, call.param("id"), before, page.fetch)
        return [_version(each) for each in self._pager.cut(call, page, found, lambda each: (each.version,))]

    async def get_graph(self, call: Call) -> Drawing:
        """The graph of one version."""
        return await self._library.draw(call.who, call.param("id"), call.query.version)

    async def get_text(self, call: Call) -> TextBody:
        """One version as YAML."""
        return TextBody(*await self._library.write_text(call.who, call.param("id"), call.query.version))

    async def read_text(self, call: Call) -> ReadBody:
        """What a text defines."""
        read = await self._library.read_text(call.body.text)
        faults = [LinedFault(fault.path, fault.message, fault.line) for fault in read.faults]
        return ReadBody(not faults, read.definition, faults, read.drawing)


def _version(found: ListedVersion) -> VersionBody:
    published_at = found.published_at
    return VersionBody(
        found.version,
        "draft" if published_at is None else "published",
        list(found.releases),
        found.created_by,
        rfc3339(found.created_at),
        None if published_at is None else rfc3339(published_at),
    )


def routes(library: WorkflowLibrary, workflows: WorkflowService, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    handlers, owner = LibraryRoutes(library, limits), workflows.find_organization
    one = "/workflow-definitions/{id}"
    return [
        Route(
            "POST",
            "/workflow-definitions/read",
            handlers.read_text,
            "workflow.write",
            "Read a definition written as YAML or JSON, and check it as publishing would, with the lines of its faults",
            body=ReadRequest,
            output=ReadBody,
            statuses=(413,),
            body_bytes_max=TEXT_CHARS_MAX * _BYTES_OF_CHAR,
            mutates=False,
        ),
        Route(
            "GET",
            f"{one}/versions",
            handlers.list_versions,
            "workflow.read",
            "List a workflow's versions, newest first",
            query=PageQuery,
            output=list[VersionBody],
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "GET",
            f"{one}/graph",
            handlers.get_graph,
            "workflow.read",
            "The nodes and edges of one version, as it runs; none for a draft",
            query=VersionQuery,
            output=Drawing,
            statuses=(404, 422),
            owner=owner,
        ),
        Route(
            "GET",
            f"{one}/text",
            handlers.get_text,
            "workflow.read",
            "One version of a workflow's definition as YAML",
            query=VersionQuery,
            output=TextBody,
            statuses=(404,),
            owner=owner,
        ),
    ]
