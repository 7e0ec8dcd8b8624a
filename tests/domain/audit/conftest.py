"""A database whose writes leave a trail."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from alloyd.db import Database, Tx
from alloyd.db.migrate import migrate
from alloyd.domain.audit.model import AuditSettings, Entry
from alloyd.domain.audit.service import AuditService
from alloyd.domain.audit.store import list_chain
from alloyd.domain.audit.verification import Known, Verdict, verify_file
from alloyd.events.hub import Hub
from alloyd.events.model import Event
from alloyd.events.service import EventLog
from alloyd.kit.clock import ManualClock
from alloyd.kit.stamp import Stamp, stamped


@dataclass
class Ledger:
    """A database, its trail, and what tests do to both."""

    database: Database
    audit: AuditService
    clock: ManualClock
    settings: AuditSettings

    async def change(self, org_id: str = "acme", subject: str = "t1", stamp: Stamp | None = None) -> None:
        """One change that a request of user ``u1`` asked for."""
        with stamped(stamp or request_stamp()):
            await self.database.write(lambda tx: tx.emit(Event(org_id, "team.created", subject)))

    async def rows(self) -> list[Entry]:
        """All rows, oldest first."""
        return [Entry(*row) for row in await self.database.read(lambda conn: list_chain(conn, 0, 100_000))]

    def verify(self, known: Known | None = None) -> Verdict:
        return verify_file(self.database.path, known)

    def tamper(self, *statements: str, values: tuple[Any, ...] = ()) -> None:
        """What somebody does who may write to the file: triggers stop nobody who drops them."""
        with closing(sqlite3.connect(self.database.path)) as conn:
            conn.execute("DROP TRIGGER IF EXISTS audit_log_stays")
            conn.execute("DROP TRIGGER IF EXISTS audit_log_is_kept")
            for statement in statements:
                conn.execute(statement, values if "?" in statement else ())
            conn.commit()


def request_stamp(action: str = "team.create", actor: str = "u1", org_id: str = "acme") -> Stamp:
    return Stamp(
        action,
        "user",
        actor,
        org_id,
        route="POST /v1/teams",
        status=201,
        address="192.0.2.1",
        request_id="r1",
    )


async def open_ledger(path: Path, readers: Callable[[], AuditSettings] | None = None) -> Ledger:
    migrate(path)
    clock = ManualClock()
    database = await Database.open(path, clock)
    await EventLog(database, Hub()).start()
    settings = AuditSettings()
    audit = AuditService(database, clock, readers or (lambda: settings))
    await audit.start()
    return Ledger(database, audit, clock, settings)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = await open_ledger(tmp_path / "alloyd.db")
    yield ledger
    await ledger.database.close()


def emit_nothing(_tx: Tx) -> None:
    """A write that changes nothing."""
