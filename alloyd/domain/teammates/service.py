"""Use cases of teammates: create, change, delete, show; what is said to one is in ``talking``."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable

import msgspec

from alloyd.db import Database, Tx
from alloyd.domain.connectors.service import ConnectorService
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.operations.teammate_model import PlannedTool
from alloyd.domain.orgs import service as orgs
from alloyd.domain.runs.service import RunService
from alloyd.domain.teammates import store
from alloyd.domain.teammates.conversations import ConversationService
from alloyd.domain.teammates.definition import default_definition, workflow_name
from alloyd.domain.teammates.model import (
    PER_ORG_MAX,
    ConnectorTool,
    NewTeammate,
    Teammate,
    TeammateChange,
    TeammateSettings,
    Tool,
    WorkflowTool,
    changed,
    check_new,
)
from alloyd.domain.teammates.planning import TeammatePlanner
from alloyd.domain.teammates.streams import ReplyStreams
from alloyd.domain.teammates.talking import Talking
from alloyd.domain.workflows.numbered import find_workflow
from alloyd.domain.workflows.service import Published, WorkflowService
from alloyd.errors import AlloydError, Code, bad_request, conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.ids import is_uuid, new_id
from alloyd.principal import Principal

_WHAT = "teammate"

DeleteHook = Callable[[Tx, str, str], None]


class TeammateService(Talking):
    """The only door to teammates; ``conversations`` is the one to what was said."""

    def __init__(
        self,
        database: Database,
        workflows: WorkflowService,
        runs: RunService,
        connectors: ConnectorService,
        planner: TeammatePlanner,
        streams: ReplyStreams,
        settings: TeammateSettings,
    ) -> None:
        self.conversations = ConversationService(database, settings)
        super().__init__(database, workflows, runs, streams, settings)
        self._connectors = connectors
        self._planner = planner
        self._deleted = asyncio.Event()
        self._delete_hooks: list[DeleteHook] = []
        workflows.watch_publishing(self._keep_workflow)

    def on_delete(self, hook: DeleteHook) -> None:
        """``hook(tx, org_id, teammate_id)`` runs in the transaction that deletes a teammate."""
        self._delete_hooks.append(hook)

    # -- writing ---------------------------------------------------------------------------------------------

    async def create(self, principal: Principal, new: NewTeammate, once: Once | None = None) -> Teammate:
        """Make a teammate, and the workflow that a message to it runs. ``once`` is an idempotency key.

        Raises ``bad_request`` naming the field, also for a tool that is not there; ``conflict`` when the name is
        taken, the organization is archived or has ``PER_ORG_MAX``. Emits ``teammate.created``, ``workflow.created``.
        """
        new = check_new(new)
        await self._require_connectors(principal, new.tools)
        org_id, teammate_id = principal.org_id, new_id()

        def write(tx: Tx) -> Teammate:
            made = idempotency.find_made(tx, org_id, once)
            if made is not None:
                return require_teammate(tx.conn, org_id, made)
            orgs.require_active(tx, org_id)
            if store.count(tx.conn, org_id) >= PER_ORG_MAX:
                raise conflict(f"an organization has at most {PER_ORG_MAX} teammates")
            _require_workflows(tx.conn, org_id, new.tools)
            self._refuse_taken(tx, org_id, new.name)
            name = _free_workflow_name(tx.conn, org_id, new.name)
            definition = default_definition(name, teammate_id)
            saved = self._workflows.save_in(tx, principal, name, definition, draft=False)
            one = Teammate(
                id=teammate_id,
                org_id=org_id,
                workflow_id=saved.version.workflow.id,
                created_by=principal.id,
                created_at=tx.now,
                updated_at=tx.now,
                **msgspec.structs.asdict(new),
            )
            store.insert(tx, one)
            payload = {"name": one.name, "channel": one.channel.value, "workflow_id": one.workflow_id}
            tx.emit(Event(org_id, "teammate.created", teammate_id, payload, workflow_id=one.workflow_id))
            idempotency.remember_made(tx, org_id, once, teammate_id)
            return one

        return await self._database.write(write)

    async def update(self, principal: Principal, teammate_id: str, change: TeammateChange) -> Teammate:
        """Change what is set. The workflow keeps its name. A message under way goes on with what was before.

        Raises as :meth:`create`, and ``not_found``. Emits ``teammate.updated`` with the names of the fields, or
        nothing when nothing changes.
        """
        org_id = principal.org_id
        if isinstance(change.tools, tuple):
            await self._require_connectors(principal, check_new(NewTeammate("any", tools=change.tools)).tools)

        def write(tx: Tx) -> Teammate:
            before = require_teammate(tx.conn, org_id, teammate_id)
            wanted = changed(before, change)
            one = msgspec.structs.replace(before, **msgspec.structs.asdict(wanted))
            if one == before:
                return before
            if one.tools != before.tools:
                _require_workflows(tx.conn, org_id, one.tools)
            if one.name != before.name:
                self._refuse_taken(tx, org_id, one.name)
            one = msgspec.structs.replace(one, updated_at=tx.now)
            store.update(tx, one)
            fields = [name for name in NewTeammate.__struct_fields__ if getattr(one, name) != getattr(before, name)]
            payload = {"name": one.name, "channel": one.channel.value, "changed": fields}
            tx.emit(Event(org_id, "teammate.updated", teammate_id, payload, workflow_id=one.workflow_id))
            return one

        return await self._database.write(write)

    async def delete(self, principal: Principal, teammate_id: str) -> None:
        """Take the teammate away for good, with its conversations and its workflow; runs under way end.

        Raises ``not_found``. Emits ``teammate.deleted``, ``workflow.deleted``, and what its hooks emit.
        """
        org_id = principal.org_id

        def write(tx: Tx) -> None:
            one = require_teammate(tx.conn, org_id, teammate_id)
            store.mark_deleted(tx, org_id, teammate_id)  # first, for its workflow can't be deleted before it
            self._workflows.delete_in(tx, principal, one.workflow_id)
            for hook in self._delete_hooks:
                hook(tx, org_id, teammate_id)
            payload = {"name": one.name}
            tx.emit(Event(org_id, "teammate.deleted", teammate_id, payload, workflow_id=one.workflow_id))

        await self._database.write(write)
        self._deleted.set()

    async def run(self) -> None:
        """Take away what belonged to deleted teammates, a little at a time, until cancelled; begun again, it goes on
        where it was cut off."""
        self._deleted.set()
        while True:
            await self._deleted.wait()
            self._deleted.clear()
            for org_id, teammate_id in await self._database.read(store.list_deleted):
                await self.conversations.delete_of_teammate(org_id, teammate_id)

    # -- showing ---------------------------------------------------------------------------------------------

    async def get_by_name(self, principal: Principal, id_or_name: str) -> Teammate:
        """The organization's teammate of that id or name. Raises ``not_found``."""
        return await self._database.read(lambda conn: require_named(conn, principal.org_id, id_or_name))

    async def find_workflow_id(self, principal: Principal, teammate_id: str) -> str | None:
        """What a message to the organization's teammate of that id runs, None when there is no such teammate."""
        found = await self._database.read(lambda conn: store.find(conn, principal.org_id, teammate_id))
        return None if found is None else found.workflow_id

    async def find_organization(self, teammate_id: str) -> str | None:
        """The organization that a teammate belongs to, None when there is no such teammate."""
        return await self._database.read(lambda conn: store.find_org_id(conn, teammate_id))

    async def list_page(self, principal: Principal, before_id: str | None, limit: int) -> list[Teammate]:
        """A page of the organization's teammates, newest first."""
        return await self._database.read(lambda conn: store.list_before(conn, principal.org_id, before_id, limit))

    async def list_tools(self, principal: Principal, teammate_id: str) -> tuple[PlannedTool, ...]:
        """The tools by the names that a model knows them by. Raises ``not_found``."""
        return await self._planner.list_tools(principal.org_id, await self.get(principal, teammate_id))

    # -- what it refers to -----------------------------------------------------------------------------------

    async def _require_connectors(self, principal: Principal, tools: tuple[Tool, ...]) -> None:
        for index, tool in enumerate(tools):
            if not isinstance(tool, ConnectorTool):
                continue
            try:
                connector = await self._connectors.get(principal, tool.connector)
            except AlloydError as error:
                if error.code is not Code.NOT_FOUND:
                    raise
                field = f"tools[{index}].connector"
                raise bad_request(f"{field}: there is no connector {tool.connector!r}", field) from None
            if connector.definition.find_action(tool.action) is None:
                field = f"tools[{index}].action"
                raise bad_request(f"{field}: {tool.connector} has no action {tool.action!r}", field)

    def _refuse_taken(self, tx: Tx, org_id: str, name: str) -> None:
        if store.find_by_name(tx.conn, org_id, name) is not None:
            raise conflict(f"name: {name!r} is taken in this organization", "name")

    def _keep_workflow(self, tx: Tx, published: Published) -> None:
        """In the transaction that deletes a workflow: not while a teammate's messages run it."""
        if published.deleted:
            one = store.find_by_workflow(tx.conn, published.org_id, published.workflow_id)
            if one is not None:
                raise conflict(f"the teammate {one.name!r} runs this workflow: delete the teammate")


def require_named(conn: sqlite3.Connection, org_id: str, id_or_name: str) -> Teammate:
    """The organization's teammate of that id or name. Raises ``not_found``."""
    find = store.find if is_uuid(id_or_name) else store.find_by_name
    found = find(conn, org_id, id_or_name)
    if found is None:
        raise not_found(_WHAT)
    return found


def require_teammate(conn: sqlite3.Connection, org_id: str, teammate_id: str) -> Teammate:
    """The organization's teammate of that id, within another capability's read or write. Raises ``not_found``."""
    found = store.find(conn, org_id, teammate_id)
    if found is None:
        raise not_found(_WHAT)
    return found


def _require_workflows(conn: sqlite3.Connection, org_id: str, tools: tuple[Tool, ...]) -> None:
    for index, tool in enumerate(tools):
        if isinstance(tool, WorkflowTool) and find_workflow(conn, org_id, tool.workflow) is None:
            field = f"tools[{index}].workflow"
            raise bad_request(f"{field}: there is no workflow {tool.workflow!r}", field)


def _free_workflow_name(conn: sqlite3.Connection, org_id: str, teammate_name: str) -> str:
    number = 1
    while find_workflow(conn, org_id, workflow_name(teammate_name, number)) is not None:
        number += 1
    return workflow_name(teammate_name, number)
