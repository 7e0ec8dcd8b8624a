"""``/v1/workflow-definitions``: save, show, list, check and delete workflow definitions."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from alloyd.domain.runs.looking import RunLookup
from alloyd.domain.runs.model import NewestRun
from alloyd.domain.workflows.library import WorkflowLibrary
from alloyd.domain.workflows.model import DefinitionBody, ListedWorkflow, Workflow, WorkflowVersion
from alloyd.domain.workflows.service import WorkflowService
from alloyd.errors import bad_request
from alloyd.kit.clock import rfc3339
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.fields import FILTER_CHARS_MAX, IdempotencyKey, ReleaseLabel
from alloyd.wire.idempotency import FIELD, read_once
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import Call, Route

VERSION_MAX = 2**31 - 1  # beyond it the database has no integers


class WorkflowBody(msgspec.Struct):
    """A workflow: ``status`` is ``published`` once a version can run."""

    id: str
    name: str
    version: int
    published_version: int | None
    status: str
    organization_id: str
    created_at: str
    updated_at: str


class LastRun(msgspec.Struct):
    """The newest run of a workflow."""

    id: str
    status: str
    created_at: str


class ListedBody(WorkflowBody, kw_only=True):
    """A workflow in a list: ``trigger`` is the type of what starts it, ``last_run`` is there where it was asked for."""

    trigger: str
    last_run: LastRun | None = None


class DefinitionAnswer(WorkflowBody):
    """A workflow with the content of one version."""

    definition: dict[str, Any]
    changed: bool | None = None


class DefinitionJson(DefinitionBody, frozen=True):
    """A definition, with the organization that it is for, the name that its version gets, and the request's key."""

    organization_id: str | None = None
    release: ReleaseLabel | None = None
    idempotency_key: IdempotencyKey | None = None


class VersionQuery(msgspec.Struct, frozen=True):
    """Which version; the newest without."""

    version: Annotated[int, msgspec.Meta(ge=1, le=VERSION_MAX)] | None = None


class Checked(msgspec.Struct):
    """What a publish would say: ``faults`` with their places, none when it would succeed."""

    valid: bool
    faults: list[dict[str, str]]


class Deleted(msgspec.Struct):
    """The id of what is gone."""

    id: str


class WorkflowQuery(PageQuery, frozen=True, kw_only=True):
    """The query of the list. `q`: somewhere in the name; `last_run`: with each workflow's newest run."""

    organization_id: str | None = None
    q: Annotated[str, msgspec.Meta(max_length=FILTER_CHARS_MAX)] | None = None
    last_run: bool = False


class DefinitionRoutes:
    """Handlers over the workflows service."""

    def __init__(
        self, workflows: WorkflowService, library: WorkflowLibrary, lookup: RunLookup, limits: PageLimits
    ) -> None:
        self._workflows = workflows
        self._library = library
        self._lookup = lookup
        self._pager = Pager("workflow-definitions", limits, str)

    async def create_definition(self, call: Call) -> DefinitionAnswer:
        """Save the body as the next version of the workflow of its name; 422 lists every fault."""
        organization_of(call, _pop_text(call.body, "organization_id"))
        saved = await self._workflows.save(call.who, call.body, read_once(call, _pop_text(call.body, FIELD)))
        return _definition(saved.version, changed=saved.changed)

    async def check_definition(self, call: Call) -> Checked:
        """The publish checks without saving."""
        faults = self._workflows.check(call.body)
        return Checked(not faults, [fault.to_json() for fault in faults])

    async def list_definitions(self, call: Call) -> list[ListedBody]:
        """The organization's workflows, newest first."""
        organization_of(call, call.query.organization_id)
        page = self._pager.read(call.query)
        before = page.after[0] if page.after else None
        found = await self._library.list_page(call.who, call.query.q or None, before, page.fetch)
        kept = self._pager.cut(call, page, found, lambda listed: (listed.workflow.id,))
        newest: dict[str, NewestRun] = {}
        if call.query.last_run and call.who.may("run.read"):
            newest = await self._lookup.list_newest(call.who, [listed.workflow.id for listed in kept])
        return [_listed(listed, newest.get(listed.workflow.id)) for listed in kept]

    async def get_definition(self, call: Call) -> DefinitionAnswer:
        """One version of a workflow."""
        return _definition(await self._workflows.get(call.who, call.param("id"), call.query.version))

    async def delete_definition(self, call: Call) -> Deleted:
        """Take a workflow out of use; its runs end on their version."""
        await self._workflows.delete(call.who, call.param("id"))
        return Deleted(call.param("id"))


def _pop_text(body: dict[str, Any], name: str) -> str | None:
    """Take a member that is about the request out of the definition."""
    given = body.pop(name, None)
    if given is not None and not isinstance(given, str):
        raise bad_request(f"{name}: text is wanted", name)
    return given


def _fields(workflow: Workflow) -> dict[str, Any]:
    return {
        "id": workflow.id,
        "name": workflow.name,
        "version": workflow.version,
        "published_version": workflow.published_version,
        "status": "draft" if workflow.published_version is None else "published",
        "organization_id": workflow.org_id,
        "created_at": rfc3339(workflow.created_at),
        "updated_at": rfc3339(workflow.updated_at),
    }


def _listed(listed: ListedWorkflow, newest: NewestRun | None) -> ListedBody:
    last_run = None if newest is None else LastRun(newest.run_id, newest.state.value, rfc3339(newest.created_at))
    return ListedBody(**_fields(listed.workflow), trigger=listed.trigger, last_run=last_run)


def _definition(version: WorkflowVersion, *, changed: bool | None = None) -> DefinitionAnswer:
    fields = _fields(version.workflow)
    fields["version"] = version.version
    fields["status"] = "draft" if version.published_at is None else "published"
    return DefinitionAnswer(**fields, definition=version.definition, changed=changed)


def routes(
    workflows: WorkflowService,
    library: WorkflowLibrary,
    lookup: RunLookup,
    limits: PageLimits,
    definition_bytes_max: int,
) -> list[Route]:
    """The routes of workflow definitions."""
    handlers = DefinitionRoutes(workflows, library, lookup, limits)
    stem = "/workflow-definitions"
    return [
        Route(
            "POST",
            stem,
            handlers.create_definition,
            "workflow.write",
            "Save a definition; the same name again makes the next version, the same content changes nothing",
            body=dict[str, Any],
            body_told=DefinitionJson,
            output=DefinitionAnswer,
            status=201,
            statuses=(404, 409, 422),
            body_bytes_max=definition_bytes_max,
        ),
        Route(
            "POST",
            f"{stem}/check",
            handlers.check_definition,
            "workflow.write",
            "Check a definition as publishing would, without saving it",
            body=dict[str, Any],
            body_told=DefinitionBody,
            output=Checked,
            body_bytes_max=definition_bytes_max,
            mutates=False,
        ),
        Route(
            "GET",
            stem,
            handlers.list_definitions,
            "workflow.read",
            "List workflows, newest first",
            query=WorkflowQuery,
            output=list[ListedBody],
            statuses=(404,),
        ),
        Route(
            "GET",
            f"{stem}/{{id}}",
            handlers.get_definition,
            "workflow.read",
            "Show a workflow with the content of one version",
            query=VersionQuery,
            output=DefinitionAnswer,
            statuses=(404,),
            owner=workflows.find_organization,
        ),
        Route(
            "DELETE",
            f"{stem}/{{id}}",
            handlers.delete_definition,
            "workflow.write",
            "Take a workflow out of use",
            output=Deleted,
            statuses=(404, 409),
            owner=workflows.find_organization,
        ),
    ]
