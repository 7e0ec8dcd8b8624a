"""Purges of end users' runs: all that they were told, did and said is taken from the tables and the file.

What is asked for is a row until it is done, so that a start goes on with it. Runs that go on are cancelled first. A
user's runs are taken in parts, each a short write; SQLite overwrites with zeros what is deleted (``secure_delete``),
and what it leaves in its pages all the same is scrubbed at the end, with the log.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from alloyd.db import Database, Tx
from alloyd.db.maintenance import count_pages, release_some_pages
from alloyd.domain.embedded import store
from alloyd.domain.embedded.model import Purged
from alloyd.domain.embedded.service import route_of
from alloyd.domain.embedded.store import Purge
from alloyd.domain.endusers.service import require_end_user
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.runs import end_users
from alloyd.domain.runs.service import RunService
from alloyd.domain.webhooks import service as webhooks
from alloyd.errors import AlloydError, Code
from alloyd.events import retention as events
from alloyd.events.model import Event
from alloyd.kit import crash
from alloyd.log import get_logger
from alloyd.principal import Principal, system_principal

log = get_logger("alloyd.embedded")

TOPS_PER_PART = 20
ROWS_PER_WRITE = 200
RUNS_PER_HOOK = 200
RETRY_S = 5.0
_ALL_SEQS = 2**63 - 1
PURGED_KIND = "end_user.purged"
PURGING_KIND = "end_user.purging"

# Deletes some of what else belongs to runs, (tx, org_id, run_ids), and tells how much; asked until nothing is left.
RunsHook = Callable[[Tx, str, Sequence[str]], int]
# Waits until every consumer of events has handled what was told before.
Settle = Callable[[], Awaitable[None]]


class EndUserPurge:
    """The only door to purges. :meth:`run` has to be under way: it does them, one after the other."""

    def __init__(self, database: Database, runs: RunService, settle: Settle) -> None:
        self._database = database
        self._runs = runs
        self._settle = settle
        self._hooks: list[RunsHook] = []
        self._after: list[Callable[[], Awaitable[object]]] = []
        self._wake = asyncio.Event()
        # By end user: who waits, and how far their purge has to reach.
        self._waiting: dict[str, list[tuple[int, asyncio.Future[Purged]]]] = {}

    def on_delete(self, hook: RunsHook) -> None:
        """Run ``hook(tx, org_id, run_ids)`` in transactions before these runs are deleted, until it returns 0."""
        self._hooks.append(hook)

    def on_deleted(self, hook: Callable[[], Awaitable[object]]) -> None:
        """Await ``hook()`` once all rows of a purge are deleted, before it is told to be done: files on disk."""
        self._after.append(hook)

    async def purge(self, principal: Principal, end_user_id: str) -> Purged:
        """Take away everything of this user's runs; nothing is left on disk when this returns.

        Unfinished runs are cancelled. The user and the installations stay, and so do sums of usage. Runs that start
        while this goes on stay. A second call finds nothing to do. A caller who hangs up, or a daemon that is killed,
        does not end it. Raises ``not_found``; ``unavailable`` when the disk fails, and it is then tried again.
        Emits ``end_user.purged``. Contract: embedded, "Operations".
        """
        org_id = principal.org_id

        future: asyncio.Future[Purged] = asyncio.get_running_loop().create_future()

        def ask(tx: Tx) -> None:
            require_end_user(tx.conn, org_id, end_user_id)
            upto_seq = end_users.find_last_seq(tx.conn)
            store.put_purge(tx, Purge(org_id, end_user_id, upto_seq))
            if tx.was_asked_for:
                tx.audit(f"end_user:{end_user_id}", org_id=org_id)

            def tell() -> None:
                crash.reach("embedded.purge_asked")
                self._waiting.setdefault(end_user_id, []).append((upto_seq, future))
                self._wake.set()

            tx.after_commit(tell)  # before the worker can have deleted the row again: hooks keep the commits' order

        await self._database.write(ask)
        return await future

    async def list_page(self, principal: Principal, before_id: str | None, limit: int) -> list[tuple[str, int]]:
        """A page of the organization's purges that are not done: end users' ids, the newest user first, and when each
        was asked for in ms since the epoch."""
        return await self._database.read(lambda conn: store.list_purges_of(conn, principal.org_id, before_id, limit))

    def end_of_end_user(self, tx: Tx, org_id: str, end_user_id: str) -> None:
        """In the transaction that deletes an end user: all of this user's runs are purged, soon after the commit, also
        what is started by their events meanwhile."""
        has_keys = idempotency.forget_route(tx, org_id, route_of(end_user_id), ROWS_PER_WRITE)
        if has_keys or end_users.list_tops(tx.conn, org_id, end_user_id, _ALL_SEQS, 1):  # cleaning the file is dear
            store.put_purge(tx, Purge(org_id, end_user_id, _ALL_SEQS))
            tx.after_commit(self._wake.set)

    async def run(self) -> None:
        """Do for ever what is asked for, first what the last process left."""
        while True:
            self._wake.clear()
            failed = False
            for purge in await self._database.read(store.list_purges):
                try:
                    await self._carry_out(purge)
                except Exception as error:  # the others go on, and this one is tried again
                    failed = True
                    log.error("a purge failed; will be tried again", end_user_id=purge.end_user_id, exc_info=error)
                    self._tell_failed(purge.end_user_id, error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S if failed else None):
                    await self._wake.wait()

    # -- one purge -------------------------------------------------------------------------------------------

    async def _carry_out(self, purge: Purge) -> None:
        org_id, count = purge.org_id, 0
        while tops := await self._list_tops(purge):
            trees = [await self._end_tree(org_id, top) for top in tops]
            await self._settle()
            for tree in trees:
                await self._delete_tree(purge, tree)
                count += len(tree)
        await self._forget_keys(purge)
        for hook in self._after:
            await hook()
        crash.reach("embedded.purge_deleted")
        await self._clean_file()
        if not await self._database.write(lambda tx: _finish(tx, purge, count)):
            self._wake.set()
            return
        waiting = self._waiting.pop(purge.end_user_id, [])
        later = [one for one in waiting if one[0] > purge.upto_seq]
        if later:
            self._waiting[purge.end_user_id] = later
        for upto_seq, future in waiting:
            if upto_seq <= purge.upto_seq and not future.done():
                future.set_result(Purged(count))

    async def _list_tops(self, purge: Purge) -> list[str]:
        org_id, user_id = purge.org_id, purge.end_user_id
        return await self._database.read(
            lambda conn: end_users.list_tops(conn, org_id, user_id, purge.upto_seq, TOPS_PER_PART)
        )

    async def _end_tree(self, org_id: str, top: str) -> list[str]:
        """End a run and all that it led to; their ids, each after the one above it. None begins any more after this."""
        principal = system_principal(org_id)
        while True:
            tree = await self._database.read(lambda conn: end_users.list_tree(conn, org_id, top))
            unfinished = [run_id for run_id, goes_on in tree if goes_on]
            if not unfinished:
                return [run_id for run_id, _goes_on in tree]
            for run_id in unfinished:
                try:
                    await self._runs.cancel(principal, run_id)
                except AlloydError as error:
                    if error.code not in (Code.CONFLICT, Code.NOT_FOUND):  # it has ended by itself
                        raise

    async def _delete_tree(self, purge: Purge, tree: list[str]) -> None:
        org_id = purge.org_id
        for start in range(0, len(tree), RUNS_PER_HOOK):
            part = tree[start : start + RUNS_PER_HOOK]
            for hook in self._hooks:
                while await self._database.write(lambda tx, hook=hook, part=part: hook(tx, org_id, part)):  # type: ignore[misc]
                    pass
        left = list(tree)  # from the end: a run goes after those below it, by which a further start finds them
        while left:
            gone = await self._database.write(lambda tx: _delete_some(tx, purge, left))
            del left[len(left) - gone :]
            crash.reach("embedded.purge_part")

    async def _forget_keys(self, purge: Purge) -> None:
        route = route_of(purge.end_user_id)
        while await self._database.write(lambda tx: idempotency.forget_route(tx, purge.org_id, route, ROWS_PER_WRITE)):
            pass

    async def _clean_file(self) -> None:
        """Cut off the free pages, and leave nothing in those that stay, nor in the log."""
        while free := (await self._database.run_maintenance(count_pages)).free:
            await self._database.run_maintenance(release_some_pages)
            if (await self._database.run_maintenance(count_pages)).free >= free:
                break  # an older file that was not made for it: its free pages are zeros
        await self._database.scrub()

    def _tell_failed(self, end_user_id: str, error: Exception) -> None:
        told = error if isinstance(error, AlloydError) else AlloydError(Code.INTERNAL, "the purge failed")
        for _upto_seq, future in self._waiting.pop(end_user_id, []):
            if not future.done():
                future.set_exception(told)


def _delete_some(tx: Tx, purge: Purge, left: list[str]) -> int:
    """Delete from the end as much as one write's share holds; how many runs are gone whole."""
    org_id, rows, gone = purge.org_id, ROWS_PER_WRITE, 0
    for run_id in reversed(left):
        taken = events.take_of_run(tx, org_id, run_id, rows)
        webhooks.forget_events(tx, org_id, taken)
        rows -= len(taken)
        if rows <= 0:
            return gone
        if events.has_any_of_run(tx.conn, org_id, run_id):
            # It is the newest of all, which has to stay: so another one becomes that.
            tx.emit(Event(org_id, PURGING_KIND, purge.end_user_id))
            return gone
        deleted = end_users.delete_purged(tx, org_id, run_id, rows)
        if deleted >= rows:
            return gone
        gone += 1
        rows -= deleted + 1
        if rows <= 0:
            return gone
    return gone


def _finish(tx: Tx, purge: Purge, count: int) -> bool:
    if not store.delete_purge(tx, purge):
        return False
    tx.emit(Event(purge.org_id, PURGED_KIND, purge.end_user_id, {"runs": count}))
    return True
