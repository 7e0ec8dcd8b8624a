"""What an uninstalled workflow left running for its end user is cancelled, soon after, also by the next start.

That it has to be is a row, written in the transaction that removes the installation, until it is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

from alloyd.db import Database, Tx
from alloyd.domain.embedded import store
from alloyd.domain.embedded.store import Uninstalled
from alloyd.domain.integrations.model import Installation
from alloyd.domain.runs import end_users
from alloyd.domain.runs.service import RunService
from alloyd.errors import AlloydError, Code
from alloyd.kit import crash
from alloyd.log import get_logger
from alloyd.principal import system_principal

log = get_logger("alloyd.embedded")

RUNS_PER_PAGE = 100
ROWS_PER_PAGE = 100
RETRY_S = 5.0
REASON = "its workflow was uninstalled"


class UninstalledRuns:
    """Ends runs of installations that are gone. :meth:`run` has to be under way."""

    def __init__(self, database: Database, runs: RunService) -> None:
        self._database = database
        self._runs = runs
        self._wake = asyncio.Event()

    def end_of_installation(self, tx: Tx, gone: Installation) -> None:
        """In the transaction that removes an installation: its unfinished runs are cancelled soon after the commit, and
        all that they called; none that a later installation of the workflow starts."""
        if not end_users.list_unfinished(tx.conn, gone.org_id, gone.end_user_id, 0, 1):
            return
        upto_seq = end_users.find_last_seq(tx.conn)
        store.put_uninstalled(tx, Uninstalled(gone.org_id, gone.end_user_id, gone.workflow_id, upto_seq))

        def tell() -> None:
            crash.reach("embedded.uninstalled")
            self._wake.set()

        tx.after_commit(tell)

    async def run(self) -> None:
        """Do for ever what is left to do, first what the last process left. Emits ``workflow.run.cancelled``."""
        while True:
            self._wake.clear()
            failed = await self._carry_out_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S if failed else None):
                    await self._wake.wait()

    async def _carry_out_all(self) -> bool:
        failed, last = False, None
        while page := await self._database.read(
            lambda conn, after=last: store.list_uninstalled(conn, after, ROWS_PER_PAGE)  # type: ignore[misc]
        ):
            for one in page:
                try:
                    await self._carry_out(one)
                except Exception as error:  # the others go on, and this one is tried again
                    failed = True
                    log.error(
                        "runs can't be cancelled; will be tried again", workflow_id=one.workflow_id, exc_info=error
                    )
            last = page[-1]
        return failed

    async def _carry_out(self, one: Uninstalled) -> None:
        principal, after = system_principal(one.org_id), 0
        while True:
            # In the order of the starts: a run that one of them calls meanwhile comes behind it, and is met as well.
            last_seq, found = await self._database.read(lambda conn, after=after: _list_page(conn, one, after))  # type: ignore[misc]
            for run_id in found:
                try:
                    await self._runs.cancel(principal, run_id, REASON)
                except AlloydError as error:
                    if error.code not in (Code.CONFLICT, Code.NOT_FOUND):  # it has ended by itself
                        raise
                crash.reach("embedded.uninstalled_part")
            if last_seq is None:
                break
            after = last_seq
        if not await self._database.write(lambda tx: store.delete_uninstalled(tx, one)):
            self._wake.set()


def _list_page(conn: sqlite3.Connection, one: Uninstalled, after_seq: int) -> tuple[int | None, list[str]]:
    """How far a page of the user's unfinished runs reaches, None when there is none, and those of it that have to end:
    whose top run is of the workflow, and not too new."""
    page = end_users.list_unfinished(conn, one.org_id, one.end_user_id, after_seq, RUNS_PER_PAGE)
    found = []
    for _seq, run_id in page:
        top = end_users.find_top(conn, one.org_id, run_id)
        if top is not None and top[0] == one.workflow_id and top[1] <= one.upto_seq:
            found.append(run_id)
    return (page[-1][0] if page else None), found
