"""Runs of archived organizations are cancelled, soon after, also by the next start.

That they have to be needs no row of its own: the organization is archived and has runs that have not ended.
"""

from __future__ import annotations

import asyncio
import contextlib

from alloyd.db import Database, Tx
from alloyd.domain.orgs import service as orgs
from alloyd.domain.runs import store
from alloyd.domain.runs.service import RunService
from alloyd.errors import AlloydError, Code
from alloyd.log import get_logger
from alloyd.principal import system_principal

log = get_logger("alloyd.runs")

RUNS_PER_PAGE = 100
RETRY_S = 5.0
REASON = "the organization was archived"


class ArchivedRuns:
    """Ends what archived organizations have left. :meth:`run` has to be under way."""

    def __init__(self, database: Database, runs: RunService) -> None:
        self._database = database
        self._runs = runs
        self._wake = asyncio.Event()
        self._left: set[str] = set()  # organizations

    def end_of_organization(self, tx: Tx, org_id: str) -> None:
        """In the transaction that archives an organization: its unfinished runs are cancelled soon after the commit."""

        def tell() -> None:
            self._left.add(org_id)
            self._wake.set()

        tx.after_commit(tell)

    async def run(self) -> None:
        """Do for ever what is left to do, first what the last process left. Emits ``workflow.run.cancelled``."""
        self._left |= await self._database.read(orgs.list_archived)
        while True:
            self._wake.clear()
            for org_id in list(self._left):
                try:
                    await self._end_all(org_id)
                    self._left.discard(org_id)
                except Exception as error:  # the others go on, and this one is tried again
                    log.error("runs can't be cancelled; will be tried again", org_id=org_id, exc_info=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S if self._left else None):
                    await self._wake.wait()

    async def _end_all(self, org_id: str) -> None:
        principal = system_principal(org_id)
        while page := await self._database.read(lambda conn: store.list_unfinished(conn, org_id, RUNS_PER_PAGE)):
            for run_id in page:
                try:
                    await self._runs.cancel(principal, run_id, REASON)
                except AlloydError as error:
                    if error.code not in (Code.CONFLICT, Code.NOT_FOUND):  # it has ended by itself
                        raise
