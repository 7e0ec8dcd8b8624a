"""Releases: a label names one version of a workflow for good."""

from __future__ import annotations

import re
import sqlite3
from typing import Any, Final

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.workflows import store
from alloyd.domain.workflows.model import Release, Workflow, WorkflowVersion
from alloyd.errors import bad_request, conflict, not_found
from alloyd.events.model import Event
from alloyd.principal import Principal

LABEL_CHARS_MAX: Final = 64
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z")


def check_label(label: Any) -> str:
    """``label`` if it may be one. Raises ``bad_request`` naming ``release``."""
    if not isinstance(label, str) or not _LABEL.match(label):
        raise bad_request(f"release: 1 to {LABEL_CHARS_MAX} letters, digits, . _ + or -, such as 1.0.0", "release")
    return label


def release_in(tx: Tx, principal: Principal, version: WorkflowVersion, label: str) -> bool:
    """Name ``version`` in a caller's transaction; whether that is new. Again for the same version it changes nothing.

    Raises ``conflict`` when the label names another version. Emits ``workflow.released``.
    """
    workflow = version.workflow
    known = store.find_release(tx.conn, workflow.org_id, workflow.id, label)
    if known is not None:
        if known.version != version.version:
            raise conflict(f"release: {label!r} names version {known.version} with another content", "release")
        return False
    store.insert_release(tx, workflow.org_id, Release(workflow.id, label, version.version, principal.id, tx.now))
    payload = {"name": workflow.name, "release": label, "version": version.version}
    tx.emit(Event(workflow.org_id, "workflow.released", workflow.id, payload, workflow_id=workflow.id))
    return True


class ReleaseService:
    """Names versions, and lists the names."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def release(
        self, principal: Principal, workflow_id: str, label: str, version: int | None, once: Once | None = None
    ) -> Release:
        """Give ``version`` (the newest published without) the name ``label``. A repeat of ``once`` changes nothing.

        Raises ``bad_request`` (release), ``not_found`` (the workflow, the version), ``conflict`` for a draft, and when
        the label names another version. Emits ``workflow.released``.
        """
        check_label(label)
        org_id = principal.org_id

        def write(tx: Tx) -> Release:
            workflow = _must_find(tx.conn, org_id, workflow_id)
            if idempotency.find_made(tx, org_id, once) is not None:
                return _must_find_release(tx.conn, org_id, workflow_id, label)
            number = version or workflow.published_version
            found = None if number is None else store.find_version(tx.conn, org_id, workflow_id, number)
            if version is not None and found is None:
                raise not_found("version")
            if found is None or found.published_at is None:
                raise conflict("version: a draft can't be released", "version")
            release_in(tx, principal, found, label)
            idempotency.remember_made(tx, org_id, once, workflow_id)
            return _must_find_release(tx.conn, org_id, workflow_id, label)

        return await self._database.write(write)

    async def list_all(self, principal: Principal, workflow_id: str) -> list[Release]:
        """A workflow's releases, newest first. Raises ``not_found``."""

        def read(conn: sqlite3.Connection) -> list[Release]:
            _must_find(conn, principal.org_id, workflow_id)
            return store.list_releases(conn, principal.org_id, workflow_id)

        return await self._database.read(read)


def _must_find_release(conn: sqlite3.Connection, org_id: str, workflow_id: str, label: str) -> Release:
    found = store.find_release(conn, org_id, workflow_id, label)
    if found is None:
        raise not_found("release")
    return found


def _must_find(conn: sqlite3.Connection, org_id: str, workflow_id: str) -> Workflow:
    workflow = store.find_by_id(conn, org_id, workflow_id)
    if workflow is None:
        raise not_found("workflow")
    return workflow
