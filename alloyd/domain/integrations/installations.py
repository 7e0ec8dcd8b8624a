"""Use cases of installations: install, activate, deactivate, configure, upgrade, uninstall."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from alloyd.db import Database, Tx
from alloyd.domain.endusers.model import EndUser
from alloyd.domain.endusers.service import EndUserService, find_end_user, require_end_user
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.integrations import store
from alloyd.domain.integrations.model import (
    LATEST,
    Choice,
    Installation,
    InstallationFilter,
    OfferedIntegration,
    Spread,
    check_configuration,
    slug_of,
)
from alloyd.domain.integrations.releases import choose_upgrade, find_release
from alloyd.domain.integrations.service import installed_integrations, is_offered
from alloyd.domain.orgs import service as orgs
from alloyd.domain.workflows.model import Workflow
from alloyd.domain.workflows.numbered import Numbered, find_event, find_workflow, list_numbered, require_workflow
from alloyd.domain.workflows.service import Published, WorkflowService
from alloyd.errors import bad_request, conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.ids import new_id
from alloyd.principal import Principal

_WHAT = "installation"
_PART = 500

# Runs inside the transaction that removes an installation: (tx, installation).
RemoveHook = Callable[[Tx, Installation], None]


class InstallationService:
    """The only door to installations: an end user has at most one of a workflow.

    A user is named by id or username, a workflow by id or name; what exists nowhere or belongs to another organization
    is ``not_found``. An installed version stays until it is upgraded, whatever is published or released meanwhile.
    """

    def __init__(self, database: Database, end_users: EndUserService, workflows: WorkflowService) -> None:
        self._database = database
        self._remove_hooks: list[RemoveHook] = []
        end_users.on_delete(self._forget_user)
        workflows.watch_publishing(self._forget_workflow)

    def on_remove(self, hook: RemoveHook) -> None:
        """Run ``hook(tx, installation)`` in each transaction that removes one, also with its user or workflow."""
        self._remove_hooks.append(hook)

    # -- installing ------------------------------------------------------------------------------------------

    async def install(
        self,
        principal: Principal,
        user: str,
        workflow: str,
        *,
        version: str | None = None,
        configuration: Mapping[str, Any] | None = None,
        active: bool = True,
        once: Once | None = None,
    ) -> Installation:
        """Give an end user a copy of a workflow at release ``version``, by default the newest, as for ``latest``. A
        repeat of ``once`` answers with the first one.

        Raises ``not_found`` (the user, the workflow, a draft's release), ``bad_request`` (version: unknown),
        ``conflict`` when it is installed already, ``too_large`` (configuration). Emits ``installation.created``.
        """
        encoded = check_configuration(configuration or {})
        org_id = principal.org_id

        def write(tx: Tx) -> Installation:
            made = idempotency.find_made(tx, org_id, once)
            if made is not None:
                return require_installation(tx.conn, org_id, made)
            orgs.require_active(tx, org_id)
            owner, flow = _both(tx.conn, org_id, user, workflow)
            if store.find_installation_of(tx.conn, org_id, owner.id, flow.id) is not None:
                raise conflict("workflow_id: installed for this user already", "workflow_id")
            one = self._put(tx, owner, flow, _label(version), configuration or {}, encoded, active=active)
            idempotency.remember_made(tx, org_id, once, one.id)
            return one

        return await self._database.write(write)

    async def ensure_installed(
        self, principal: Principal, user: str, workflow: str, version: str | None = None
    ) -> Installation:
        """:meth:`install`, except that an installation that is there already is what it answers, unchanged."""
        org_id = principal.org_id

        def write(tx: Tx) -> Installation:
            owner, flow = _both(tx.conn, org_id, user, workflow)
            orgs.require_active(tx, org_id)
            found = store.find_installation_of(tx.conn, org_id, owner.id, flow.id)
            return found or self._put(tx, owner, flow, version, {}, b"{}", active=True)

        return await self._database.write(write)

    async def activate(
        self, principal: Principal, user: str, workflow: str, *, offered_only: bool = False
    ) -> Installation:
        """Let events start a user's copy of a workflow, which is installed at its newest release if it is not yet.
        Again it changes nothing.

        With ``offered_only``, as for the user's own browser, a workflow that is in no integration can't be installed:
        it is ``not_found``. Raises ``not_found`` (the user, the workflow, a draft's release). Emits
        ``installation.created`` or ``installation.activated``.
        """
        org_id = principal.org_id

        def write(tx: Tx) -> Installation:
            owner, flow = _both(tx.conn, org_id, user, workflow)
            orgs.require_active(tx, org_id)
            found = store.find_installation_of(tx.conn, org_id, owner.id, flow.id)
            if found is not None:
                return self._switch(tx, found, active=True)
            if offered_only and not is_offered(tx.conn, org_id, flow.id):
                raise not_found("workflow")
            return self._put(tx, owner, flow, None, {}, b"{}", active=True)

        return await self._database.write(write)

    async def deactivate(self, principal: Principal, user: str, workflow: str) -> Installation:
        """Let nothing start a user's copy of a workflow until it is active again; runs that wait go on waiting. Again
        it changes nothing.

        Raises ``not_found`` (the user, the workflow, or it is not installed). Emits ``installation.deactivated``.
        """
        org_id = principal.org_id
        return await self._database.write(
            lambda tx: self._switch(tx, _must_find_of(tx.conn, org_id, user, workflow), active=False)
        )

    async def upgrade(self, principal: Principal, user: str, workflow: str, version: str | None = None) -> Installation:
        """Move a user's copy of a workflow to release ``version``, by default the newest. Configuration and active
        state stay, and runs that are under way end on their version. The release that it has changes nothing.

        Raises ``not_found`` (the user, the workflow, or it is not installed), ``bad_request`` (version: unknown, or
        older than what is installed). Emits ``installation.upgraded``.
        """
        org_id = principal.org_id

        def write(tx: Tx) -> Installation:
            found = _must_find_of(tx.conn, org_id, user, workflow)
            orgs.require_active(tx, org_id)
            return self._move(tx, found, version)

        return await self._database.write(write)

    async def uninstall(self, principal: Principal, user: str, workflow: str) -> Installation:
        """Remove a user's copy of a workflow. Raises ``not_found`` (the user, the workflow, or it is not installed).

        Emits ``installation.removed``.
        """
        org_id = principal.org_id
        return await self._database.write(lambda tx: self._remove(tx, _must_find_of(tx.conn, org_id, user, workflow)))

    # -- by id -----------------------------------------------------------------------------------------------

    async def get(self, principal: Principal, installation_id: str) -> Installation:
        """One of the organization's installations. Raises ``not_found``."""
        return await self._database.read(lambda conn: require_installation(conn, principal.org_id, installation_id))

    async def find_organization(self, installation_id: str) -> str | None:
        """The organization that an installation belongs to, None when there is no such installation."""
        if not installation_id.isascii():
            return None
        return await self._database.read(lambda conn: store.find_installation_org_id(conn, installation_id))

    async def update(
        self,
        principal: Principal,
        installation_id: str,
        *,
        active: bool | None = None,
        version: str | None = None,
        configuration: Mapping[str, Any] | None = None,
    ) -> Installation:
        """Change what is given, all of it or nothing; the ``version`` may be ``latest``.

        Raises ``bad_request`` (nothing is given; version: unknown or older), ``not_found``, ``too_large``
        (configuration). Emits ``installation.configured``, ``installation.upgraded``, ``installation.activated`` or
        ``installation.deactivated`` for what is another than before.
        """
        if active is None and version is None and configuration is None:
            raise bad_request("active, version or configuration: one of them is needed", "active")
        encoded = None if configuration is None else check_configuration(configuration)

        def write(tx: Tx) -> Installation:
            found = require_installation(tx.conn, principal.org_id, installation_id)
            orgs.require_active(tx, found.org_id)
            if encoded is not None and configuration != found.configuration:
                store.update_configuration(tx, found.org_id, found.id, encoded)
                _tell(tx, found, "configured")
            if version is not None:
                found = self._move(tx, found, _label(version))
            if active is not None:
                self._switch(tx, found, active=active)
            return require_installation(tx.conn, found.org_id, found.id)

        return await self._database.write(write)

    async def remove(self, principal: Principal, installation_id: str) -> Installation:
        """:meth:`uninstall` by the installation's id."""
        return await self._database.write(
            lambda tx: self._remove(tx, require_installation(tx.conn, principal.org_id, installation_id))
        )

    # -- listing ---------------------------------------------------------------------------------------------

    async def list_page(
        self, principal: Principal, wanted: InstallationFilter, before_id: str | None, limit: int
    ) -> list[Installation]:
        """A page of the organization's installations, newest first; none for an unknown user or workflow, who may be
        named as everywhere."""
        org_id = principal.org_id

        def read(conn: sqlite3.Connection) -> list[Installation]:
            user, flow, slug = wanted.end_user_id, wanted.workflow_id, wanted.integration_id
            owner = None if user is None else find_end_user(conn, org_id, user)
            found = None if flow is None else find_workflow(conn, org_id, flow)
            if (user is not None and owner is None) or (flow is not None and found is None):
                return []
            by_id = InstallationFilter(
                None if owner is None else owner.id,
                None if found is None else found.id,
                None if slug is None else slug_of(slug),
                wanted.active,
            )
            return store.list_installations_before(conn, org_id, by_id, before_id, limit)

        return await self._database.read(read)

    async def list_spread(self, principal: Principal, workflow_ids: Sequence[str]) -> dict[str, list[Spread]]:
        """By workflow: at which releases it is installed, the newest version first."""
        org_id = principal.org_id
        return await self._database.read(
            lambda conn: {each: store.list_spread(conn, org_id, each) for each in workflow_ids}
        )

    async def find_newest(self, principal: Principal, workflow_ids: Sequence[str]) -> dict[str, str]:
        """By workflow: the label of the newest release, which is what installing gives; none for drafts."""

        def read(conn: sqlite3.Connection) -> dict[str, str]:
            newest = {}
            for each in workflow_ids:
                flow = find_workflow(conn, principal.org_id, each)
                numbered = [] if flow is None else list_numbered(conn, flow)
                if numbered:
                    newest[each] = numbered[0].label
            return newest

        return await self._database.read(read)

    async def list_choices(self, principal: Principal, user: str) -> list[Choice]:
        """All that an end user has installed, oldest first; then what else of the organization's integrations could be,
        by name. Drafts can't. Raises ``not_found``."""
        org_id = principal.org_id

        def read(conn: sqlite3.Connection) -> list[Choice]:
            owner = require_end_user(conn, org_id, user)
            installed = {one.workflow_id: one for one in _all_of(conn, owner)}
            found = [(find_workflow(conn, org_id, workflow_id), one) for workflow_id, one in installed.items()]
            chosen = [Choice(flow.id, flow.name, one.release, one) for flow, one in found if flow is not None]
            offered = [
                find_workflow(conn, org_id, workflow_id)
                for workflow_id in store.list_offered_ids(conn, org_id)
                if workflow_id not in installed
            ]
            others = [
                Choice(flow.id, flow.name, numbered[0].label)
                for flow in offered
                if flow is not None and (numbered := list_numbered(conn, flow))
            ]
            return chosen + sorted(others, key=lambda choice: (choice.name, choice.workflow_id))

        return await self._database.read(read)

    async def list_integrations(self, principal: Principal, user: str) -> list[OfferedIntegration]:
        """All integrations of the organization, by name, with whether that user has any of each installed.

        Raises ``not_found``.
        """
        org_id = principal.org_id
        return await self._database.read(
            lambda conn: installed_integrations(conn, org_id, require_end_user(conn, org_id, user).id)
        )

    # -- within a write --------------------------------------------------------------------------------------

    def _put(
        self,
        tx: Tx,
        owner: EndUser,
        flow: Workflow,
        version: str | None,
        configuration: Mapping[str, Any],
        encoded: bytes,
        *,
        active: bool,
    ) -> Installation:
        release = find_release(list_numbered(tx.conn, flow), version)
        event = find_event(tx.conn, flow.org_id, flow.id, release.version)
        one = Installation(
            new_id(),
            flow.org_id,
            owner.id,
            flow.id,
            release.label,
            release.version,
            event,
            configuration,
            active,
            tx.now,
            tx.now,
        )
        store.insert_installation(tx, one, encoded)
        _tell(tx, one, "created")
        return one

    def _switch(self, tx: Tx, found: Installation, *, active: bool) -> Installation:
        if found.active is active:
            return found
        if active:
            orgs.require_active(tx, found.org_id)
        store.update_active(tx, found.org_id, found.id, active)
        _tell(tx, found, "activated" if active else "deactivated")
        return require_installation(tx.conn, found.org_id, found.id)

    def _move(self, tx: Tx, found: Installation, version: str | None) -> Installation:
        flow = require_workflow(tx.conn, found.org_id, found.workflow_id)
        current = Numbered(found.release, found.version)
        release = choose_upgrade(list_numbered(tx.conn, flow), current, version)
        if release == current:
            return found
        event = find_event(tx.conn, found.org_id, flow.id, release.version)
        store.update_version(tx, found.org_id, found.id, release.label, release.version, event)
        moved = require_installation(tx.conn, found.org_id, found.id)
        _tell(tx, moved, "upgraded", former=found.release)
        return moved

    def _remove(self, tx: Tx, found: Installation) -> Installation:
        for hook in self._remove_hooks:
            hook(tx, found)
        store.delete_installation(tx, found.org_id, found.id)
        _tell(tx, found, "removed")
        return found

    def _forget_user(self, tx: Tx, org_id: str, end_user_id: str) -> None:
        for found in store.list_of_user(tx.conn, org_id, end_user_id):
            self._remove(tx, found)

    def _forget_workflow(self, tx: Tx, published: Published) -> None:
        """A deleted workflow is nobody's any more: in parts, so that the memory it takes is bounded."""
        if not published.deleted:
            return
        part = True
        while part:
            found = store.list_workflow_before(tx.conn, published.org_id, published.workflow_id, None, _PART)
            for one in found:
                self._remove(tx, one)
            part = bool(found)


def find_active_for_event(conn: sqlite3.Connection, org_id: str, end_user_id: str, event: str) -> list[Installation]:
    """An end user's active installations whose version is started by ``event``, exactly, oldest first."""
    return store.list_active_for_event(conn, org_id, end_user_id, event)


def find_installation(conn: sqlite3.Connection, org_id: str, end_user_id: str, workflow_id: str) -> Installation | None:
    """An end user's installation of a workflow, by their ids."""
    return store.find_installation_of(conn, org_id, end_user_id, workflow_id)


def require_installation(conn: sqlite3.Connection, org_id: str, installation_id: str) -> Installation:
    """The organization's installation of that id. Raises ``not_found``."""
    found = store.find_installation(conn, org_id, installation_id) if installation_id.isascii() else None
    if found is None:
        raise not_found(_WHAT)
    return found


def _label(version: str | None) -> str | None:
    return None if version == LATEST else version


def _both(conn: sqlite3.Connection, org_id: str, user: str, workflow: str) -> tuple[EndUser, Workflow]:
    return require_end_user(conn, org_id, user), require_workflow(conn, org_id, workflow)


def _must_find_of(conn: sqlite3.Connection, org_id: str, user: str, workflow: str) -> Installation:
    owner, flow = _both(conn, org_id, user, workflow)
    found = store.find_installation_of(conn, org_id, owner.id, flow.id)
    if found is None:
        raise not_found(_WHAT)
    return found


def _all_of(conn: sqlite3.Connection, owner: EndUser) -> list[Installation]:
    return store.list_of_user(conn, owner.org_id, owner.id)


def _tell(tx: Tx, one: Installation, verb: str, *, former: str | None = None) -> None:
    payload: dict[str, Any] = {
        "end_user_id": one.end_user_id,
        "workflow_id": one.workflow_id,
        "release": one.release,
        "version": one.version,
    }
    if former is not None:
        payload["former_release"] = former
    tx.emit(Event(one.org_id, f"installation.{verb}", one.id, payload, workflow_id=one.workflow_id))
