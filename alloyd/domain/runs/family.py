"""What a step that calls a workflow asks of the runs around it, so that calls come to an end."""

from __future__ import annotations

from typing import Final

from alloyd.db import Database
from alloyd.domain.operations.model import Slot
from alloyd.domain.runs import store_family

# Runs looked at for one count; a family with more was made by workflows, not by models.
SEEN_MAX: Final = 20_000


class Families:
    """The runs above a run, which wait for it, and all that the topmost of them led to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count_asked(self, org_id: str, run_id: str) -> int:
        """How many runs of the family models have asked for, among the first :data:`SEEN_MAX`."""
        return await self._database.read(lambda conn: store_family.count_asked(conn, org_id, run_id, SEEN_MAX))

    async def holds_place(self, org_id: str, run_id: str, slot: Slot) -> bool:
        """Whether the run and those above it leave no free place of ``slot``: whoever waits for one, waits for them."""
        if slot.restarts:
            return False
        held = await self._database.read(lambda conn: store_family.count_places(conn, org_id, run_id, slot.name))
        return held >= slot.limit
