"""Use cases of the audit trail: connect it to the database, show it, take refusals, delete what is old."""

from __future__ import annotations

from collections.abc import Callable

from alloyd.db import Database, Tx
from alloyd.db.note import Note
from alloyd.domain.audit import store
from alloyd.domain.audit.model import PRUNED, AuditFilter, AuditSettings, Ends, Entry
from alloyd.domain.audit.refusals import RefusalLog
from alloyd.domain.audit.trail import Trail
from alloyd.domain.audit.verification import pruned_target
from alloyd.kit.clock import Clock
from alloyd.log import get_logger

log = get_logger("alloyd.audit")

# Rows that a page of the list looks at for those that are wanted, and that one write deletes.
LOOKS_MAX = 50_000
PRUNED_PER_WRITE_MAX = 1000

Position = store.Position


class AuditService:
    """One for the daemon. ``await start()`` before the first request."""

    def __init__(self, database: Database, clock: Clock, settings: Callable[[], AuditSettings]) -> None:
        self._database = database
        self.refusals = RefusalLog(clock, settings)

    async def start(self) -> None:
        """Take what writes leave from now on. A chain that ends otherwise than it should is told in the log."""
        self._database.connect_trail(Trail().append)
        ends, last_seq = await self._database.read(lambda conn: (store.load_ends(conn), store.find_last_seq(conn)))
        if ends is None or (last_seq or ends.pruned_seq) != ends.last_seq:
            log.error("the audit trail was tampered with; see `alloyd audit verify`", last_row=last_seq)

    # -- showing ---------------------------------------------------------------------------------------------

    async def list_page(
        self, org_id: str | None, wanted: AuditFilter, before: Position | None, limit: int
    ) -> tuple[list[Entry], Position | None]:
        """Rows of one organization, of all when ``org_id`` is None, newest first; and where the next page begins.

        The position is None when there is no more. A page may have fewer rows than ``limit``, or none, and yet be
        followed by another: it looks at a bounded number of rows for those that are wanted.
        """
        looks = limit + 1 if wanted.is_empty else max(LOOKS_MAX, limit + 1)
        return await self._database.read(lambda conn: store.list_page(conn, org_id, wanted, before, limit, looks))

    # -- refusals --------------------------------------------------------------------------------------------

    async def write_refusals(self) -> int:
        """Append the refusals that wait; how many rows they are. Raises ``unavailable``, and then they wait on."""
        return await self._write(self.refusals.take())

    async def close(self) -> None:
        """Append what waits, at the daemon's end."""
        await self._write(self.refusals.close())

    async def _write(self, notes: list[Note]) -> int:
        if not notes:
            return 0

        def write(tx: Tx) -> None:
            for note in notes:
                tx.add_note(note)

        try:
            await self._database.write(write)
        except Exception:
            self.refusals.give_back(notes)
            raise
        return len(notes)

    # -- retention -------------------------------------------------------------------------------------------

    async def prune(self, before_ms: int, rows_max: int) -> int:
        """Delete the oldest rows: those from before ``before_ms``, and all but the newest ``rows_max``; how many.

        Each step leaves a row that tells of it, without which the chain would be found broken.
        """
        total = 0
        while count := await self._database.write(lambda tx: _prune_some(tx, before_ms, rows_max)):
            total += count
            if count < PRUNED_PER_WRITE_MAX:
                break
        return total


def _prune_some(tx: Tx, before_ms: int, rows_max: int) -> int:
    ends = store.load_ends(tx.conn)
    if ends is None:
        return 0
    end = _find_prune_end(tx, ends, before_ms, rows_max)
    if end == 0:
        return 0
    count = store.prune(tx, end, store.find_hash(tx.conn, end))
    tx.audit(pruned_target(end), action=PRUNED, count=count)
    return count


def _find_prune_end(tx: Tx, ends: Ends, before_ms: int, rows_max: int) -> int:
    keep_from = ends.last_seq - rows_max + 1
    return store.find_prune_end(tx.conn, ends.pruned_seq, before_ms, keep_from, PRUNED_PER_WRITE_MAX)
