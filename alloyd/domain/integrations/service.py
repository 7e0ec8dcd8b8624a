"""Use cases of integrations: create, show, change, delete, and the workflows in them."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

from msgspec import UNSET, UnsetType

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.integrations import store
from alloyd.domain.integrations.model import (
    CATEGORY_CHARS_MAX,
    DESCRIPTION_CHARS_MAX,
    INTEGRATIONS_PER_ORG_MAX,
    WORKFLOWS_PER_INTEGRATION_MAX,
    Integration,
    OfferedIntegration,
    OfferedWorkflow,
    check_icon_url,
    check_line,
    slug_of,
)
from alloyd.domain.orgs import service as orgs
from alloyd.domain.orgs.model import check_name, check_slug
from alloyd.domain.workflows.numbered import find_workflow, require_workflow
from alloyd.domain.workflows.service import Published, WorkflowService
from alloyd.errors import bad_request, conflict, not_found
from alloyd.events.model import Event
from alloyd.principal import Principal

_WHAT = "integration"


class IntegrationService:
    """The only door to integrations. An id is ``int_<slug>`` and says nothing without its organization."""

    def __init__(self, database: Database, workflows: WorkflowService) -> None:
        self._database = database
        workflows.watch_publishing(self._forget_workflow)

    async def create(
        self,
        principal: Principal,
        slug: str,
        name: str,
        *,
        category: str | None = None,
        icon_url: str | None = None,
        description: str | None = None,
        once: Once | None = None,
    ) -> Integration:
        """Make an integration in the caller's organization. A repeat of ``once`` answers with the first one.

        Raises ``bad_request`` naming the field, ``conflict`` when the slug is taken, the organization is archived or
        has ``INTEGRATIONS_PER_ORG_MAX``. Emits ``integration.created``.
        """
        check_slug(slug)
        check_name(name)
        category = check_line(category, "category", CATEGORY_CHARS_MAX)
        icon_url = check_icon_url(icon_url)
        description = check_line(description, "description", DESCRIPTION_CHARS_MAX)
        org_id = principal.org_id

        def write(tx: Tx) -> Integration:
            made = idempotency.find_made(tx, org_id, once)
            if made is not None:
                return require_integration(tx.conn, org_id, made)
            orgs.require_active(tx, org_id)
            if store.count(tx, org_id) >= INTEGRATIONS_PER_ORG_MAX:
                raise conflict(f"an organization has at most {INTEGRATIONS_PER_ORG_MAX} integrations")
            one = Integration(org_id, slug, name, category, icon_url, description, principal.id, tx.now, tx.now)
            try:
                store.insert(tx, one)
            except sqlite3.IntegrityError:
                raise conflict(f"slug: {slug!r} is taken in this organization", "slug") from None
            tx.emit(Event(org_id, "integration.created", one.id, {"slug": slug, "name": name}))
            idempotency.remember_made(tx, org_id, once, one.id)
            return one

        return await self._database.write(write)

    async def get(self, principal: Principal, integration_id: str) -> Integration:
        """One of the organization's integrations. Raises ``not_found``."""
        return await self._database.read(lambda conn: require_integration(conn, principal.org_id, integration_id))

    async def find_organization(self, integration_id: str) -> str | None:
        """The organization that has the integration of that id; None when none has it, or several do."""
        if not integration_id.isascii():
            return None
        found = await self._database.read(lambda conn: store.list_org_ids(conn, slug_of(integration_id)))
        return found[0] if len(found) == 1 else None

    async def list_page(self, principal: Principal, before: tuple[int, str] | None, limit: int) -> list[Integration]:
        """A page of the organization's integrations, newest first; ``before`` is time and slug of the one above."""
        return await self._database.read(lambda conn: store.list_before(conn, principal.org_id, before, limit))

    async def update(
        self,
        principal: Principal,
        integration_id: str,
        *,
        name: str | UnsetType = UNSET,
        category: str | UnsetType | None = UNSET,
        icon_url: str | UnsetType | None = UNSET,
        description: str | UnsetType | None = UNSET,
    ) -> Integration:
        """Change what is given; None takes it away. The slug stays: the id is made of it.

        Raises ``bad_request`` naming the field, ``not_found``. Emits ``integration.updated``.
        """
        given: dict[str, Any] = {}
        if not isinstance(name, UnsetType):
            given["name"] = check_name(name)
        if not isinstance(category, UnsetType):
            given["category"] = check_line(category, "category", CATEGORY_CHARS_MAX)
        if not isinstance(icon_url, UnsetType):
            given["icon_url"] = check_icon_url(icon_url)
        if not isinstance(description, UnsetType):
            given["description"] = check_line(description, "description", DESCRIPTION_CHARS_MAX)
        if not given:
            raise bad_request("name, category, icon_url or description: one of them is needed", "name")

        def write(tx: Tx) -> Integration:
            before = require_integration(tx.conn, principal.org_id, integration_id)
            orgs.require_active(tx, before.org_id)
            after = replace(before, **given, updated_at=tx.now)
            store.update(tx, after)
            tx.emit(Event(after.org_id, "integration.updated", after.id, {"slug": after.slug, "name": after.name}))
            tx.audit(changed=sorted(given))
            return after

        return await self._database.write(write)

    async def delete(self, principal: Principal, integration_id: str) -> Integration:
        """Remove an integration; its workflows, and who has installed them, stay. Raises ``not_found``.

        Emits ``integration.deleted``.
        """

        def write(tx: Tx) -> Integration:
            one = require_integration(tx.conn, principal.org_id, integration_id)
            store.delete(tx, one.org_id, one.slug)
            tx.emit(Event(one.org_id, "integration.deleted", one.id, {"slug": one.slug, "name": one.name}))
            return one

        return await self._database.write(write)

    # -- workflows -------------------------------------------------------------------------------------------

    async def add_workflow(
        self, principal: Principal, integration_id: str, id_or_name: str, once: Once | None = None
    ) -> OfferedWorkflow:
        """Put a workflow into an integration; again it changes nothing. A workflow may be in several.

        Raises ``not_found`` (the integration, the workflow), ``conflict`` at ``WORKFLOWS_PER_INTEGRATION_MAX``. Emits
        ``integration.workflow_added``.
        """
        org_id = principal.org_id

        def write(tx: Tx) -> OfferedWorkflow:
            one = require_integration(tx.conn, org_id, integration_id)
            workflow = require_workflow(tx.conn, org_id, id_or_name)
            added_at = store.find_workflow_added_at(tx.conn, org_id, one.slug, workflow.id)
            if idempotency.find_made(tx, org_id, once) is not None and added_at is None:
                raise not_found("workflow")  # it was taken out again meanwhile
            orgs.require_active(tx, org_id)
            if added_at is None:
                if store.count_workflows(tx, org_id, one.slug) >= WORKFLOWS_PER_INTEGRATION_MAX:
                    raise conflict(f"an integration has at most {WORKFLOWS_PER_INTEGRATION_MAX} workflows")
                added_at = tx.now
                store.put_workflow(tx, org_id, one.slug, workflow.id)
                payload = {"workflow_id": workflow.id, "name": workflow.name}
                tx.emit(Event(org_id, "integration.workflow_added", one.id, payload, workflow_id=workflow.id))
                idempotency.remember_made(tx, org_id, once, workflow.id)
            return OfferedWorkflow(workflow.id, workflow.name, added_at)

        return await self._database.write(write)

    async def remove_workflow(self, principal: Principal, integration_id: str, id_or_name: str) -> OfferedWorkflow:
        """Take a workflow out of an integration; who has installed it keeps it.

        Raises ``not_found`` (the integration; the workflow, also when it is not in it). Emits
        ``integration.workflow_removed``.
        """
        org_id = principal.org_id

        def write(tx: Tx) -> OfferedWorkflow:
            one = require_integration(tx.conn, org_id, integration_id)
            workflow = require_workflow(tx.conn, org_id, id_or_name)
            added_at = store.find_workflow_added_at(tx.conn, org_id, one.slug, workflow.id)
            if added_at is None:
                raise not_found("workflow")
            store.delete_workflow(tx, org_id, one.slug, workflow.id)
            payload = {"workflow_id": workflow.id, "name": workflow.name}
            tx.emit(Event(org_id, "integration.workflow_removed", one.id, payload, workflow_id=workflow.id))
            return OfferedWorkflow(workflow.id, workflow.name, added_at)

        return await self._database.write(write)

    async def list_workflows(
        self, principal: Principal, integration_id: str, before_id: str | None, limit: int
    ) -> list[OfferedWorkflow]:
        """A page of an integration's workflows, the newest workflow first. Raises ``not_found``."""
        org_id = principal.org_id

        def read(conn: sqlite3.Connection) -> list[OfferedWorkflow]:
            one = require_integration(conn, org_id, integration_id)
            found = store.list_workflows(conn, org_id, one.slug, before_id, limit)
            named = [(find_workflow(conn, org_id, workflow_id), added_at) for workflow_id, added_at in found]
            return [OfferedWorkflow(flow.id, flow.name, at) for flow, at in named if flow is not None]

        return await self._database.read(read)

    def _forget_workflow(self, tx: Tx, published: Published) -> None:
        if published.deleted:
            store.delete_workflow_everywhere(tx, published.org_id, published.workflow_id)


def require_integration(conn: sqlite3.Connection, org_id: str, integration_id: str) -> Integration:
    """The organization's integration of that id, within another read or write. Raises ``not_found``."""
    slug = slug_of(integration_id)
    found = store.find(conn, org_id, slug) if slug.isascii() else None
    if found is None:
        raise not_found(_WHAT)
    return found


def installed_integrations(conn: sqlite3.Connection, org_id: str, end_user_id: str) -> list[OfferedIntegration]:
    """All integrations of an organization by name, each with whether that end user has installed any of it."""
    return store.list_offered(conn, org_id, end_user_id)


def is_offered(conn: sqlite3.Connection, org_id: str, workflow_id: str) -> bool:
    """Whether a workflow is in any integration."""
    return bool(store.list_integration_slugs(conn, org_id, workflow_id))
