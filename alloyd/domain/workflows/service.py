"""Use cases of workflow definitions: save, show, list, delete, and the compiled graph to run."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.operations.model import Slot, Target
from alloyd.domain.workflows import store
from alloyd.domain.workflows.compile import compile_definition, is_draft
from alloyd.domain.workflows.model import (
    DefinitionBody,
    Fault,
    FlowStep,
    Graph,
    NodeDefinition,
    Runnable,
    Workflow,
    WorkflowVersion,
)
from alloyd.domain.workflows.releases import check_label, release_in
from alloyd.domain.workflows.secrets import DefinitionSecrets, masked
from alloyd.domain.workflows.triggers import ApiTrigger, Trigger, WebhookTrigger, read_trigger
from alloyd.errors import AlloydError, Code, bad_request, not_found
from alloyd.events.model import Event
from alloyd.kit.crypto import UnsealError
from alloyd.kit.ids import is_uuid, new_id
from alloyd.principal import Principal

NAME_CHARS_MAX = 200
_WHAT = "workflow"
_MISSING = re.compile(r"missing required field `([^`]+)`")
_NAMELESS = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class WorkflowSettings:
    """Bounds; the configuration's groups ``engine`` and ``limits``."""

    nodes_max: int = 500
    definition_bytes_max: int = 1024 * 1024
    step_timeout_ms: int = 300_000
    graphs_cached_max: int = 1000


@dataclass(frozen=True, slots=True)
class Saved:
    """What saving a definition did: ``changed`` is False when the newest version had this content already."""

    version: WorkflowVersion
    changed: bool


@dataclass(frozen=True, slots=True)
class Published:
    """What may start a workflow from now on: its newest published version's trigger, or nothing once it is deleted.

    ``trigger_json`` is the trigger as the definition has it; None for ``api`` and for a deleted workflow.
    """

    org_id: str
    workflow_id: str
    name: str
    trigger: Trigger
    trigger_json: dict[str, Any] | None
    by: str  # the principal
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Hook:
    """The webhook trigger of a published workflow, its secret in the clear."""

    org_id: str
    workflow_id: str
    trigger: WebhookTrigger

    def __repr__(self) -> str:
        return f"Hook({self.workflow_id})"


PublishingWatcher = Callable[[Tx, Published], None]


class WorkflowService:
    """The only door to workflow definitions."""

    def __init__(self, database: Database, settings: WorkflowSettings, secrets: DefinitionSecrets) -> None:
        self._database = database
        self._settings = settings
        self._secrets = secrets
        # The newest runnable version of each workflow that was started lately, and graphs by version.
        self._current: OrderedDict[tuple[str, str], Runnable] = OrderedDict()
        self._graphs: OrderedDict[tuple[str, str, int], Graph] = OrderedDict()
        self._changes = 0
        self._watchers: list[PublishingWatcher] = []
        self._built_in: dict[str, Mapping[int, Mapping[str, Any]]] = {}

    def watch_publishing(self, watcher: PublishingWatcher) -> None:
        """Call ``watcher(tx, published)`` in every transaction that publishes a version or deletes a workflow."""
        self._watchers.append(watcher)

    def add_built_in(self, workflow_id: str, versions: Mapping[int, Mapping[str, Any]]) -> None:
        """A workflow of alloyd's own, by its versions: no row, in no list, and nobody can start it by its id."""
        self._built_in[workflow_id] = versions

    def get_built_in(self, org_id: str, workflow_id: str) -> Runnable:
        """The newest version of a workflow of alloyd's own, to run in ``org_id``."""
        versions = self._built_in[workflow_id]
        version = max(versions)
        return Runnable(
            org_id, workflow_id, versions[version]["name"], version, self._built(org_id, workflow_id, version)
        )

    def _built(self, org_id: str, workflow_id: str, version: int) -> Graph:
        key = (org_id, workflow_id, version)
        if key not in self._graphs:
            body = self._parse(dict(self._built_in[workflow_id][version]))
            graph, faults = compile_definition(body, len(body.nodes or ()), self._settings.step_timeout_ms)
            if graph is None:
                raise AlloydError(Code.INTERNAL, "a workflow of alloyd's own is broken", log=str(faults))
            self._graphs[key] = graph
        return self._graphs[key]

    # -- writing ---------------------------------------------------------------------------------------------

    def check(self, definition: dict[str, Any]) -> list[Fault]:
        """Every fault that would keep ``definition`` from being published; none for a draft or a sound one."""
        return self.compile(definition)[1]

    def compile(self, definition: dict[str, Any]) -> tuple[Graph | None, list[Fault]]:
        """The graph of ``definition``, None for a draft or a faulty one; and all its faults."""
        body = self._parse(definition)
        if is_draft(body):
            return None, []
        return compile_definition(body, self._settings.nodes_max, self._settings.step_timeout_ms)

    async def save(self, principal: Principal, definition: dict[str, Any], once: Once | None = None) -> Saved:
        """Store ``definition`` as the next version of the workflow of its name, and publish it unless it is a draft.

        A member ``release`` is no part of it: it names the version, in the same commit. ``once`` is an idempotency
        key: a copy gives the version that the first one gave.

        The newest content again changes nothing. Raises ``unprocessable`` with every fault and its place in
        ``details``; ``bad_request`` when it is no definition at all; ``conflict`` for a release of another content.
        Emits ``workflow.created`` or ``workflow.updated``, and ``workflow.released``. Contract: workflows.
        """
        label = definition.get("release")
        if label is not None:
            check_label(label)
            definition = {name: value for name, value in definition.items() if name != "release"}
        body = self._parse(definition)
        draft = is_draft(body)
        if label is not None and draft:
            raise bad_request("release: a draft can't be released", "release")
        if not draft:
            _graph, faults = compile_definition(body, self._settings.nodes_max, self._settings.step_timeout_ms)
            if faults:
                raise AlloydError(
                    Code.UNPROCESSABLE,
                    f"{faults[0].path}: {faults[0].message}" + (f" (and {len(faults) - 1} more)" if faults[1:] else ""),
                    details=[fault.to_json() for fault in faults],
                )

        def write(tx: Tx) -> Saved:
            made = idempotency.find_made(tx, principal.org_id, once)
            if made is not None:
                return _saved_before(tx, principal.org_id, made)
            saved = self.save_in(tx, principal, body.name, definition, draft=draft)
            if label is not None:
                release_in(tx, principal, saved.version, label)
            known_by = f"{saved.version.workflow.id} {saved.version.version} {saved.changed:d}"
            idempotency.remember_made(tx, principal.org_id, once, known_by)
            return saved

        return await self._database.write(write)

    def save_in(self, tx: Tx, principal: Principal, name: str, definition: dict[str, Any], *, draft: bool) -> Saved:
        """:meth:`save` inside a caller's transaction, of a definition that has been checked.

        Secrets are stored sealed, and what this returns has them masked. Raises ``unprocessable`` for a mask that
        stands where the version before has no secret.
        """
        org_id = principal.org_id
        workflow = store.find_by_name(tx.conn, org_id, name)
        newest = None if workflow is None else store.find_version(tx.conn, org_id, workflow.id, workflow.version)
        former = None if newest is None else newest.definition
        definition = self._secrets.fill_in(definition, former, org_id, "" if workflow is None else workflow.id)
        digest = hashlib.sha256(_NAMELESS.encode(self._secrets.to_compare(definition))).hexdigest()
        if workflow is not None:
            if newest is not None and newest.digest == digest:
                return Saved(_shown(newest), changed=False)
            number = workflow.version + 1
            workflow = replace(
                workflow,
                version=number,
                published_version=workflow.published_version if draft else number,
                updated_at=tx.now,
            )
            store.update_versions(tx, workflow)
            kind = "workflow.updated"
        else:
            workflow = Workflow(new_id(), org_id, name, 1, None if draft else 1, tx.now, tx.now)
            store.insert_workflow(tx, workflow)
            kind = "workflow.created"
        definition = self._secrets.seal(definition, org_id, workflow.id)
        version = WorkflowVersion(
            workflow, workflow.version, definition, digest, principal.id, tx.now, None if draft else tx.now
        )
        store.insert_version(tx, version)
        payload = {"name": name, "version": version.version, "published": not draft}
        tx.emit(Event(org_id, kind, workflow.id, payload, workflow_id=workflow.id))
        tx.after_commit(lambda: self._forget(workflow.id))
        if not draft:
            self._tell_published(tx, workflow, definition.get("trigger"), principal)
        return Saved(_shown(version), changed=True)

    def _tell_published(
        self,
        tx: Tx,
        workflow: Workflow,
        trigger_json: dict[str, Any] | None,
        principal: Principal,
        *,
        deleted: bool = False,
    ) -> None:
        trigger, _faults = read_trigger(trigger_json)
        if isinstance(trigger, ApiTrigger):
            trigger_json = None
        published = Published(workflow.org_id, workflow.id, workflow.name, trigger, trigger_json, principal.id, deleted)
        for watcher in self._watchers:
            watcher(tx, published)

    async def delete(self, principal: Principal, workflow_id: str) -> None:
        """Take the workflow out of use; runs that are under way end on their version. Emits ``workflow.deleted``."""
        await self._database.write(lambda tx: self.delete_in(tx, principal, workflow_id))

    def delete_in(self, tx: Tx, principal: Principal, workflow_id: str) -> None:
        """:meth:`delete` inside a caller's transaction. Raises ``not_found``, and what a watcher says against it."""
        org_id = principal.org_id
        workflow = store.find_by_id(tx.conn, org_id, workflow_id)
        if workflow is None or not store.mark_deleted(tx, org_id, workflow_id):
            raise not_found(_WHAT)
        tx.emit(Event(org_id, "workflow.deleted", workflow_id, {"name": workflow.name}, workflow_id=workflow_id))
        tx.after_commit(lambda: self._forget(workflow_id))
        self._tell_published(tx, workflow, None, principal, deleted=True)

    # -- reading ---------------------------------------------------------------------------------------------

    async def find_organization(self, workflow_id: str) -> str | None:
        """The organization that a workflow belongs to, None when there is no such workflow."""
        return await self._database.read(lambda conn: store.find_org_id(conn, workflow_id))

    async def get(self, principal: Principal, workflow_id: str, version: int | None = None) -> WorkflowVersion:
        """One version, the newest by default, its secrets masked. Raises ``not_found``."""
        org_id = principal.org_id

        def read(conn: Any) -> WorkflowVersion | None:
            workflow = store.find_by_id(conn, org_id, workflow_id)
            if workflow is None:
                return None
            return store.find_version(conn, org_id, workflow_id, version or workflow.version)

        found = await self._database.read(read)
        if found is None:
            raise not_found(_WHAT)
        return _shown(found)

    async def get_by_name(self, principal: Principal, name_or_id: str) -> WorkflowVersion:
        """The newest version of the workflow of that name or id. Raises ``not_found``."""
        if is_uuid(name_or_id):
            return await self.get(principal, name_or_id)
        workflow = await self._database.read(lambda conn: store.find_by_name(conn, principal.org_id, name_or_id))
        if workflow is None:
            raise not_found(_WHAT)
        return await self.get(principal, workflow.id)

    async def list_page(self, principal: Principal, before_id: str | None, limit: int) -> list[Workflow]:
        """A page of the organization's workflows, newest first."""
        return await self._database.read(lambda conn: store.list_page(conn, principal.org_id, before_id, limit))

    # -- running ---------------------------------------------------------------------------------------------

    def find_cached_runnable(self, org_id: str, id_or_name: str) -> Runnable | None:
        """What :meth:`get_runnable` gives if it is at hand: the hot path of a trigger."""
        return self._current.get((org_id, id_or_name))

    async def get_runnable(self, org_id: str, id_or_name: str) -> Runnable:
        """The newest published version of a workflow, compiled; named by its id, or by its name for a person's curl.

        Raises ``not_found`` also for a workflow with nothing to run.
        """
        cached = self._current.get((org_id, id_or_name))
        if cached is not None:
            return cached

        def read(conn: Any) -> WorkflowVersion | None:
            find = store.find_by_id if is_uuid(id_or_name) else store.find_by_name
            workflow = find(conn, org_id, id_or_name)
            if workflow is None or workflow.published_version is None:
                return None
            return store.find_version(conn, org_id, workflow.id, workflow.published_version)

        changes = self._changes
        found = await self._database.read(read)
        if found is None:
            raise not_found(_WHAT)
        workflow_id = found.workflow.id
        runnable = Runnable(org_id, workflow_id, found.workflow.name, found.version, self._compiled(found))
        if changes == self._changes:  # else it may be an older version than the one that was published meanwhile
            self._current[(org_id, id_or_name)] = runnable
            _trim(self._current, self._settings.graphs_cached_max)
        return runnable

    def find_runnable_in(
        self, conn: sqlite3.Connection, org_id: str, workflow_id: str, version: int | None = None
    ) -> Runnable | None:
        """The newest published version, or that one, as ``conn`` sees it, in a caller's transaction; None with nothing
        to run.

        Raises ``unprocessable`` when it can't run any more.
        """
        workflow = store.find_by_id(conn, org_id, workflow_id)
        if workflow is None or workflow.published_version is None:
            return None
        number = version or workflow.published_version
        graph = self._graphs.get((org_id, workflow_id, number))
        if graph is None:
            found = store.find_version(conn, org_id, workflow_id, number)
            if found is None or found.published_at is None:
                return None
            graph = self._compiled(found)
        return Runnable(org_id, workflow_id, workflow.name, number, graph)

    async def get_graph(self, org_id: str, workflow_id: str, version: int, scope: str | None = None) -> Graph:
        """The graph of the version that a run is pinned to, also of a deleted workflow; of the inline nodes at
        ``scope``. Raises ``not_found``."""
        cached = self._graphs.get((org_id, workflow_id, version))
        if cached is not None:
            return cached.within(scope)
        if version in self._built_in.get(workflow_id, ()):
            return self._built(org_id, workflow_id, version).within(scope)
        found = await self._database.read(lambda conn: store.find_version(conn, org_id, workflow_id, version))
        if found is None:
            raise not_found(_WHAT)
        return self._compiled(found).within(scope)

    def find_cached_graph(self, org_id: str, workflow_id: str, version: int, scope: str | None = None) -> Graph | None:
        """What :meth:`get_graph` gives if it is at hand; on whatever thread."""
        cached = self._graphs.get((org_id, workflow_id, version))
        return None if cached is None else cached.within(scope)

    async def get_target(self, org_id: str, id_or_name: str, version: int | None) -> Target:
        """What a step starts as a child run: the newest published version, or ``version``. Raises ``not_found``."""
        if version is None:
            runnable = await self.get_runnable(org_id, id_or_name)
            workflow_id, version, graph = runnable.workflow_id, runnable.version, runnable.graph
        else:
            workflow_id, graph = await self._get_published(org_id, id_or_name, version)
        find_slot = slot_finder(workflow_id, graph)
        return Target(workflow_id, version, len(graph.nodes), graph.run_deadline_ms, None, find_slot)

    async def _get_published(self, org_id: str, id_or_name: str, version: int) -> tuple[str, Graph]:
        def read(conn: Any) -> WorkflowVersion | None:
            find = store.find_by_id if is_uuid(id_or_name) else store.find_by_name
            workflow = find(conn, org_id, id_or_name)
            return None if workflow is None else store.find_version(conn, org_id, workflow.id, version)

        found = await self._database.read(read)
        if found is None or found.published_at is None:
            raise not_found(_WHAT)
        return found.workflow.id, self._compiled(found)

    def _compiled(self, version: WorkflowVersion) -> Graph:
        key = (version.workflow.org_id, version.workflow.id, version.version)
        graph = self._graphs.get(key)
        if graph is None:
            body = self._parse(self._opened(version))
            size = len(body.nodes or body.flow or ())
            graph, faults = compile_definition(body, size, self._settings.step_timeout_ms)
            if graph is None:
                # It was sound when it was published; an operation must have changed since.
                raise AlloydError(
                    Code.UNPROCESSABLE,
                    f"version {version.version} can't run any more: {faults[0].path}: {faults[0].message}",
                    details=[fault.to_json() for fault in faults],
                )
            self._graphs[key] = graph
            _trim(self._graphs, self._settings.graphs_cached_max)
        return graph

    def _opened(self, version: WorkflowVersion) -> dict[str, Any]:
        workflow = version.workflow
        try:
            return self._secrets.open(version.definition, workflow.org_id, workflow.id)
        except UnsealError:
            told = f"version {version.version} can't run: its secrets can't be opened; save them again"
            raise AlloydError(Code.UNPROCESSABLE, told) from None

    async def find_hook(self, workflow_id: str) -> Hook | None:
        """What an incoming webhook for the workflow has to be signed with, whosever it is; None when nothing comes in.

        Raises ``unprocessable`` when the secret can't be opened.
        """
        found = await self._database.read(lambda conn: store.find_published_anywhere(conn, workflow_id))
        if found is None:
            return None
        trigger, _faults = read_trigger(self._opened(found).get("trigger"))
        return Hook(found.workflow.org_id, workflow_id, trigger) if isinstance(trigger, WebhookTrigger) else None

    def _forget(self, workflow_id: str) -> None:
        self._changes += 1
        for key in [key for key, runnable in self._current.items() if runnable.workflow_id == workflow_id]:
            del self._current[key]

    def _parse(self, definition: dict[str, Any]) -> DefinitionBody:
        if len(msgspec.json.encode(definition)) > self._settings.definition_bytes_max:
            raise AlloydError(Code.TOO_LARGE, f"definition: larger than {self._settings.definition_bytes_max} bytes")
        body = parse_definition(definition)
        if not body.name.strip() or len(body.name) > NAME_CHARS_MAX or not body.name.isprintable():
            raise bad_request(f"name: 1 to {NAME_CHARS_MAX} printable characters are wanted", "name")
        return body


def slot_finder(workflow_id: str, graph: Graph) -> Callable[[Any], Slot | None] | None:
    """What tells the place that a run needs, from its payload; None where runs need none."""
    mode = graph.mode
    if mode is None:
        return None
    return lambda payload: mode.find_slot(workflow_id, {"trigger": payload, "context": {}})


def _saved_before(tx: Tx, org_id: str, made: str) -> Saved:
    """What a request gave that came before, as the key remembers it. Raises ``not_found`` once it is deleted."""
    workflow_id, number, changed = made.split(" ")
    version = store.find_version(tx.conn, org_id, workflow_id, int(number))
    if version is None:
        raise not_found(_WHAT)
    return Saved(_shown(version), changed=changed == "1")


def _shown(version: WorkflowVersion) -> WorkflowVersion:
    """As anybody may see it."""
    return replace(version, definition=masked(version.definition))


def parse_definition(definition: dict[str, Any]) -> DefinitionBody:
    """``definition`` as a struct. Raises ``bad_request`` that names the field of the wrong type."""
    try:
        return msgspec.convert(definition, DefinitionBody)
    except msgspec.ValidationError as error:
        fault = _step_faults(definition)[:1] or [_fault_of(error, "")]
        raise bad_request(f"{fault[0].path}: {fault[0].message}", fault[0].path) from None


def _step_faults(definition: dict[str, Any]) -> list[Fault]:
    """The steps that are of the wrong shape, each with its place, which the whole definition's error leaves out."""
    steps: list[tuple[str, Any, type]] = []
    nodes, flow = definition.get("nodes"), definition.get("flow")
    if isinstance(nodes, list):
        steps.extend((f"nodes[{index}]", node, NodeDefinition) for index, node in enumerate(nodes))
    if isinstance(flow, dict):
        steps.extend((f"flow.{key}", step, FlowStep) for key, step in flow.items())
    faults = []
    for place, step, kind in steps:
        try:
            msgspec.convert(step, kind)
        except msgspec.ValidationError as error:
            faults.append(_fault_of(error, place))
    return faults


def _fault_of(error: msgspec.ValidationError, place: str) -> Fault:
    text, _, path = str(error).partition(" - at `$")
    path = f"{place}{path.rstrip('`')}".lstrip(".")
    missing = _MISSING.search(text)
    if missing is not None:
        return Fault(f"{path}.{missing[1]}".lstrip("."), "required")
    return Fault(path or "definition", f"{text[:1].lower()}{text[1:]}")


def _trim(cache: OrderedDict[Any, Any], entries_max: int) -> None:
    while len(cache) > entries_max:
        cache.popitem(last=False)
