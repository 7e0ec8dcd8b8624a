"""All SQL of a run's family: the runs above it, and all that the topmost of them led to."""

from __future__ import annotations

import sqlite3

COUNT_ASKED = """
WITH RECURSIVE up (id, parent) AS (
    SELECT id, parent_run_id FROM runs WHERE id = :run AND org_id = :org
    UNION ALL SELECT runs.id, runs.parent_run_id FROM up JOIN runs ON runs.id = up.parent AND runs.org_id = :org
), down (id, asked) AS (
    SELECT id, 0 FROM up WHERE parent IS NULL
    UNION ALL SELECT runs.id, EXISTS (
        SELECT 1 FROM grown_steps WHERE run_id = runs.parent_run_id AND key = runs.parent_step AND org_id = :org
    ) FROM down JOIN runs ON runs.parent_run_id = down.id AND runs.org_id = :org LIMIT :seen
) SELECT coalesce(sum(asked), 0) FROM down
"""
COUNT_PLACES = """
WITH RECURSIVE up (id, parent) AS (
    SELECT id, parent_run_id FROM runs WHERE id = :run AND org_id = :org
    UNION ALL SELECT runs.id, runs.parent_run_id FROM up JOIN runs ON runs.id = up.parent AND runs.org_id = :org
) SELECT count(*) FROM up JOIN run_slots ON run_slots.run_id = up.id
WHERE run_slots.org_id = :org AND run_slots.slot = :slot AND run_slots.held = 1
"""


def count_asked(conn: sqlite3.Connection, org_id: str, run_id: str, seen_max: int) -> int:
    """How many runs of the family grown steps have called, among the first ``seen_max``."""
    row = conn.execute(COUNT_ASKED, {"run": run_id, "org": org_id, "seen": seen_max}).fetchone()
    found: int = row[0]
    return found


def count_places(conn: sqlite3.Connection, org_id: str, run_id: str, slot: str) -> int:
    """How many of the run and those above it hold that place."""
    row = conn.execute(COUNT_PLACES, {"run": run_id, "org": org_id, "slot": slot}).fetchone()
    found: int = row[0]
    return found
