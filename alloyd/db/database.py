"""The database: every write is a function, writes that wait together are committed together.

What waits for the writer goes into one transaction, each function in its own savepoint; one commit (one fsync,
``synchronous=FULL``) makes them durable; only then is any caller answered. A failing function rolls back its own
savepoint. See docs/decisions/0001-group-commit.md.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from alloyd.db import faults, scrub
from alloyd.db.connection import ThreadConnection, close_all, open_reader, open_writer
from alloyd.db.grouped import WriteGroup
from alloyd.db.maintenance import rebuild
from alloyd.db.note import Note
from alloyd.db.tx import Tx
from alloyd.errors import AlloydError, Code
from alloyd.kit import crash
from alloyd.kit.clock import Clock
from alloyd.kit.stamp import STAMP, Stamp

T = TypeVar("T")
WriteFn = Callable[[Tx], T]

FATAL_EXIT_STATUS = 74  # EX_IOERR
SCRUB_PAGES_MAX = 1000  # in one go, while writes wait
LOG_RETRY_S = 0.05  # while a reader still needs the log: most are done in less


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Bounds of the database; the configuration's group ``data``."""

    readers: int = 3
    group_commit_max: int = 512
    checkpoint_pages: int = 2000
    wal_bytes_max: int = 64 * 1024 * 1024


@dataclass(slots=True)
class DatabaseStats:
    """Counters since the start, for /metrics."""

    writes: int = 0
    commits: int = 0
    commit_seconds: float = 0.0
    checkpoints: int = 0
    failures: int = 0


def end_process(error: BaseException) -> None:
    """After a failed fsync the only safe thing is to stop at once: recovery reads what the disk really holds."""
    sys.stderr.write(f"alloyd: fatal: {faults.describe(error)}: {error}; the process ends without going on\n")
    sys.stderr.flush()
    os._exit(FATAL_EXIT_STATUS)


Outbox = Callable[[Tx], None]
Published = Callable[[list[Any]], None]
# Writes the notes of a group as rows; what it returns is called once they are committed. Both on the writer's thread.
Trail = Callable[[Tx, Sequence[Note]], Callable[[], None]]
_Outcome = tuple[bool, Any]
_Waiting = tuple[WriteFn[Any], "asyncio.Future[Any]", Stamp | None]


class Database:
    """One SQLite file with one writer and a few readers. Open with :meth:`open`, end with :meth:`close`."""

    def __init__(self, path: Path, clock: Clock, settings: DatabaseSettings) -> None:
        self.path = path
        self.stats = DatabaseStats()
        self.failure: str | None = None  # why the last write failed on the disk; None while all is well
        self.on_fatal: Callable[[BaseException], None] = end_process
        self._clock = clock
        self._settings = settings
        self._outbox: Outbox = lambda _tx: None
        self._publish: Published = lambda _events: None
        self._trail: Trail = lambda _tx, _notes: lambda: None
        self._pending: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._writer: ThreadConnection | None = None
        self._idle_readers: asyncio.LifoQueue[ThreadConnection] = asyncio.LifoQueue()
        self._readers: list[ThreadConnection] = []
        self._task: asyncio.Task[None] | None = None
        self._changes_at_checkpoint = 0
        self._wal_bytes_seen = 0
        self._scrub_fd: int | None = None

    @classmethod
    async def open(cls, path: Path, clock: Clock, settings: DatabaseSettings | None = None) -> Database:
        """Open or make the file at ``path``. The schema is brought up by :mod:`alloyd.db.migrate` before this.

        Raises ``unavailable`` for a full, failing or read-only disk, and for what is no database.
        """
        database = cls(path, clock, settings or DatabaseSettings())
        try:
            await database._connect()
        except (OSError, sqlite3.Error) as error:
            await close_all([*database._readers, *([database._writer] if database._writer else [])])
            reason = faults.describe(error) if isinstance(error, sqlite3.Error) else "the disk failed"
            raise AlloydError(Code.UNAVAILABLE, f"the database can't be opened: {reason}", log=repr(error)) from error
        database._task = asyncio.create_task(database._write_loop(), name="db-writer")
        return database

    async def _connect(self) -> None:
        self._writer = await open_writer(self.path)
        await self._writer.run(_begin_log)
        await asyncio.to_thread(_sync_directory, self.path.parent)
        for _ in range(self._settings.readers):
            reader = await open_reader(self.path)
            self._readers.append(reader)
            self._idle_readers.put_nowait(reader)

    def connect_events(self, outbox: Outbox, publish: Published) -> None:
        """``outbox(tx)`` turns what a write emitted into rows; ``publish(events)`` gets them after the commit."""
        self._outbox = outbox
        self._publish = publish

    def connect_trail(self, trail: Trail) -> None:
        """``trail(tx, notes)`` writes a group's audit rows, last in its transaction, and fails with it."""
        self._trail = trail

    async def close(self) -> None:
        """Finish what waits, checkpoint, and close every connection."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        if self._writer is not None:
            try:
                await self._writer.run(_last_checkpoint)
            except sqlite3.Error as error:  # what is committed is in the log, and is read from there
                self._note_fault(error)
            # The last one to close takes the log away, which a reader may not: so readers first.
            await close_all(self._readers)
            await close_all([self._writer])
        if self._scrub_fd is not None:
            os.close(self._scrub_fd)
            self._scrub_fd = None
        self._readers.clear()
        self._writer = None

    @property
    def queue_length(self) -> int:
        """Writes that wait for the writer."""
        return len(self._pending)

    @property
    def wal_bytes(self) -> int:
        """The size of the write-ahead log beside the file."""
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except OSError:
            return 0

    # -- writing ---------------------------------------------------------------------------------------------

    async def write(self, fn: WriteFn[T]) -> T:
        """Run ``fn(tx)`` on the writer's thread and return its value once the commit is on disk.

        ``fn`` must be plain, short and do nothing but SQL: it runs inside the group's transaction. What it raises
        rolls back its own savepoint and is raised here. A full or failing disk raises ``unavailable``, and nothing
        of the group is stored. The order of commits is the order of calls. Cancelling the caller does not undo it.
        """
        return await self.submit(fn)

    def submit(self, fn: WriteFn[T]) -> asyncio.Future[T]:
        """:meth:`write` without a coroutine: the place in the queue is taken at once."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._closing or self._writer is None:
            future.set_exception(_closed())
            return future
        # A group's items have a stamp each.
        self._pending.append((fn, future, None if isinstance(fn, WriteGroup) else STAMP.get()))
        self._wake.set()
        return future

    async def _write_loop(self) -> None:
        writer = self._writer
        assert writer is not None
        while True:
            if not self._pending:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            size = min(len(self._pending), self._settings.group_commit_max)
            batch = [self._pending.popleft() for _ in range(size)]
            for fn, _future, _stamp in batch:
                if isinstance(fn, WriteGroup):
                    fn.seal()
            await self._commit_batch(writer, batch)
            if self._should_checkpoint(writer):
                await self._checkpoint(writer)

    async def _commit_batch(self, writer: ThreadConnection, batch: list[_Waiting]) -> None:
        try:
            outcomes, told = await writer.run(lambda conn: self._run_group(conn, batch))
        except Exception as error:
            self._group_failed(error, batch)
            return
        if self.failure is not None:
            await self._look_if_well(writer)
        crash.reach("db.before_answer")
        for (_fn, future, _stamp), (ok, value) in zip(batch, outcomes, strict=True):
            if future.done():
                continue
            if ok:
                future.set_result(value)
            else:
                future.set_exception(value)
        self._tell(told)

    async def _look_if_well(self, writer: ThreadConnection) -> None:
        """End :attr:`failure` if a page can be written; a group that went well may have written nothing at all."""
        try:
            await writer.run(_write_a_page)
        except sqlite3.Error as error:
            self._note_fault(error)
        else:
            self.failure = None

    def _tell(self, told: Sequence[Tx]) -> None:
        events: list[Any] = []
        for tx in told:
            events.extend(tx.outbox)
            for hook in tx.hooks:
                hook()
        if events:
            self._publish(events)

    def _group_failed(self, error: Exception, batch: list[_Waiting]) -> None:
        self.stats.failures += 1
        self._note_fault(error)
        for _fn, future, _stamp in batch:
            if not future.done():
                future.set_exception(faults.to_caller(error))

    def _note_fault(self, error: BaseException) -> None:
        if faults.is_fatal(error):
            self.on_fatal(error)
        if faults.is_disk_fault(error):
            self.failure = faults.describe(error)

    def _run_group(self, conn: sqlite3.Connection, batch: list[_Waiting]) -> tuple[list[_Outcome], list[Tx]]:
        """On the writer's thread: one transaction for all, one savepoint for each."""
        now = self._clock.now_ms()
        outcomes: list[_Outcome] = []
        told: list[Tx] = []
        notes: list[Note] = []
        wrote = False
        crash.reach("db.before_begin")
        conn.execute("BEGIN IMMEDIATE")
        try:
            for fn, _future, stamp in batch:
                tx = Tx(conn, now, stamp)
                conn.execute("SAVEPOINT one")
                try:
                    value = fn(tx)
                    if tx.outbox:
                        self._outbox(tx)
                    notes += tx.finish_notes()
                except Exception as error:
                    if not conn.in_transaction or faults.is_disk_fault(error):
                        raise  # SQLite gave up the whole transaction, or the disk did: nobody may be told "done"
                    conn.execute("ROLLBACK TO one")
                    conn.execute("RELEASE one")
                    outcomes.append((False, error))
                    continue
                conn.execute("RELEASE one")
                wrote = True
                outcomes.append((True, value))
                if tx.outbox or tx.hooks:
                    told.append(tx)
            if wrote:
                settle = self._trail(Tx(conn, now), notes) if notes else None
                started = time.perf_counter()
                crash.reach("db.before_commit")
                conn.execute("COMMIT")
                crash.reach("db.after_commit")
                if settle is not None:
                    settle()
                self.stats.commit_seconds += time.perf_counter() - started
                self.stats.commits += 1
                self.stats.writes += len(batch)
            else:
                conn.execute("ROLLBACK")
        except BaseException:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            raise
        return outcomes, told

    # -- checkpoints -----------------------------------------------------------------------------------------

    def _should_checkpoint(self, writer: ThreadConnection) -> bool:
        changed = writer.total_changes - self._changes_at_checkpoint
        return changed >= self._settings.checkpoint_pages or self.wal_bytes > self._wal_bytes_seen

    async def _checkpoint(self, writer: ThreadConnection) -> None:
        """Move committed pages into the file. Not in the way of an answer: the callers have theirs already."""
        truncate = self.wal_bytes > self._settings.wal_bytes_max
        try:
            await writer.run(lambda conn: _checkpoint_now(conn, truncate=truncate))
        except sqlite3.Error as error:
            self._note_fault(error)
            return
        self.stats.checkpoints += 1
        self._changes_at_checkpoint = writer.total_changes
        # Growth beyond this means a reader kept the log from starting over; look again then.
        floor = self._settings.checkpoint_pages * 4096
        self._wal_bytes_seen = max(self.wal_bytes * 5 // 4, floor)

    # -- reading ---------------------------------------------------------------------------------------------

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``fn(connection)`` on a reader's thread, in one snapshot, and return its value.

        The connection can't write. A caller waits while all readers are busy.
        """
        reader = await self._idle_readers.get()
        job = asyncio.ensure_future(reader.run(lambda conn: _in_snapshot(conn, fn)))
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            reader.interrupt_now()
            job.add_done_callback(_look_away)
            raise
        finally:
            self._idle_readers.put_nowait(reader)

    async def probe(self) -> str | None:
        """What is wrong with the database, None when it can be read and written.

        After a failed write a small one is tried, so that a disk with room again is noticed.
        """
        if self.failure is not None:
            try:
                await self.write(_touch)
            except (AlloydError, sqlite3.Error):
                return self.failure or "the database can't be written"
        await self.read(lambda conn: conn.execute("SELECT 1").fetchone())
        return None

    async def run_maintenance(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``fn`` on the writer's thread outside any transaction, between groups: vacuum and its like.

        Raises ``unavailable`` when the database is closed, and for a full or failing disk.
        """
        writer = self._writer
        if self._closing or writer is None:
            raise _closed()
        try:
            return await writer.run(fn)
        except sqlite3.Error as error:
            self._note_fault(error)
            raise faults.to_caller(error) from error

    async def checkpoint(self) -> None:
        """Move committed pages into the file now; what was vacuumed away shrinks it only then."""
        writer = self._writer
        if self._closing or writer is None:
            raise _closed()
        await self._checkpoint(writer)

    async def scrub(self) -> None:
        """Overwrite what deleted rows left behind in the file's pages, and empty the log: in no file is then a byte of
        what was deleted before this. Waits for readers that still need the log. See :mod:`alloyd.db.scrub`.

        Raises ``unavailable`` when the database is closed, and for a full or failing disk.
        """
        if self._scrub_fd is None:
            # Kept open: with any of the file's descriptors that a process closes, SQLite loses its locks on it.
            self._scrub_fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        # Twice, for pages that are written between the look and the scrubbing may change their places.
        for _ in range(2):
            await self._await_empty_log()
            shape = scrub.read_shape(self._scrub_fd)
            if not shape.mapped:  # an older file, in which nothing tells a table's page from another one
                await self.run_maintenance(rebuild)
                break
            dirty = await asyncio.to_thread(scrub.find_dirty, self._scrub_fd, shape)
            for start in range(0, len(dirty), SCRUB_PAGES_MAX):
                part = dirty[start : start + SCRUB_PAGES_MAX]
                work = partial(_scrub_some, fd=self._scrub_fd, shape=shape, pages=part)
                while True:
                    if await self.run_maintenance(work):
                        break
                    await asyncio.sleep(LOG_RETRY_S)
        await self._await_empty_log()

    async def _await_empty_log(self) -> None:
        while True:
            if await self.empty_log():
                return
            await asyncio.sleep(LOG_RETRY_S)

    async def empty_log(self) -> bool:
        """Move all that is committed into the file and cut the log to nothing: what it held is then in no file but as
        the tables have it now. False when a reader still needs the log; ask again.

        Raises ``unavailable`` when the database is closed, and for a full or failing disk.
        """
        emptied = await self.run_maintenance(lambda conn: _checkpoint_now(conn, truncate=True))
        self.stats.checkpoints += 1
        return emptied


def _scrub_some(conn: sqlite3.Connection, fd: int, shape: scrub.Shape, pages: Sequence[int]) -> bool:
    """Whether it could be done: not while a reader needs the log."""
    if not _checkpoint_now(conn, truncate=True):
        return False
    conn.execute("PRAGMA shrink_memory")  # or the writer's copies of pages would bring back what was in them
    conn.execute("BEGIN IMMEDIATE")
    try:
        scrub.scrub(fd, shape, pages)
    finally:
        conn.execute("ROLLBACK")
    return True


def _begin_log(conn: sqlite3.Connection) -> None:
    conn.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the log's file is made with the first read


def _sync_directory(directory: Path) -> None:
    """Make the names of the file and its log durable: SQLite does it too, but overlooks when that fails."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _touch(tx: Tx) -> None:
    tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('last_probe_at', ?)", (str(tx.now),))


def _look_away(job: asyncio.Future[Any]) -> None:
    """Nobody waits for this any more: asyncio need not tell that it failed."""
    if not job.cancelled():
        job.exception()


def _in_snapshot(conn: sqlite3.Connection, fn: Callable[[sqlite3.Connection], T]) -> T:
    conn.execute("BEGIN")
    try:
        return fn(conn)
    finally:
        conn.execute("ROLLBACK")


def _checkpoint_now(conn: sqlite3.Connection, *, truncate: bool) -> bool:
    """Whether nothing stood in its way."""
    crash.reach("db.before_checkpoint")
    if truncate:
        # It would wait for the readers, and every write behind it: a backup reads for long.
        conn.execute("PRAGMA busy_timeout=0")
        try:
            busy = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            conn.execute("PRAGMA busy_timeout=5000")
    else:
        busy = conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0]
    crash.reach("db.after_checkpoint")
    return not busy


def _write_a_page(conn: sqlite3.Connection) -> None:
    conn.execute("PRAGMA application_id=0")  # what it is already: the first page is written all the same


def _closed() -> AlloydError:
    return AlloydError(Code.UNAVAILABLE, "the database is closed", retry_after_s=5)


def _last_checkpoint(conn: sqlite3.Connection) -> None:
    crash.reach("db.before_last_checkpoint")
    conn.execute("PRAGMA optimize")
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    crash.reach("db.after_last_checkpoint")
