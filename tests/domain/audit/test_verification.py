"""Whatever is done to the rows behind alloyd's back is found, and the first row it touches is named."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from alloyd.db.migrate import read_migration
from alloyd.domain.audit import verification
from alloyd.domain.audit.model import Row, hash_of
from alloyd.domain.audit.verification import Known
from tests.domain.audit.conftest import Ledger

COLUMNS = [
    ("created_at", 1),
    ("org_id", "other"),
    ("actor_kind", "system"),
    ("actor_id", "u2"),
    ("action", "team.read"),
    ("target", "team:t9"),
    ("outcome", "refused"),
    ("status", None),
    ("changed", '["x"]'),
    ("count", 2),
    ("route", "GET /v1/teams"),
    ("address", "192.0.2.9"),
    ("request_id", "r2"),
    ("hash", bytes(32)),
]


@pytest.fixture
async def filled(ledger: Ledger) -> Ledger:
    for number in range(1, 7):
        await ledger.change(subject=f"t{number}")
    assert ledger.verify().reason is None
    return ledger


@pytest.mark.parametrize(("column", "value"), COLUMNS, ids=[name for name, _ in COLUMNS])
async def test_a_changed_cell(filled: Ledger, column: str, value: object) -> None:
    filled.tamper(f"UPDATE audit_log SET {column} = ? WHERE seq = 3", values=(value,))
    assert filled.verify().bad_seq == 3


def test_every_column_is_tried() -> None:
    conn = sqlite3.connect(":memory:")
    with closing(conn):
        conn.executescript(read_migration("0004_audit.sql"))
        names = {row[1] for row in conn.execute("PRAGMA table_info(audit_log)")}
    assert names - {"seq"} == {name for name, _ in COLUMNS}


COPY = (
    "created_at, org_id, actor_kind, actor_id, action, target, outcome, status, changed, count, route, address,"
    " request_id, hash"
)


@pytest.mark.parametrize(
    ("done", "bad_seq"),
    [
        (["DELETE FROM audit_log WHERE seq = 1"], 1),
        (["DELETE FROM audit_log WHERE seq = 4"], 4),
        (["DELETE FROM audit_log WHERE seq = 6"], 6),
        (["DELETE FROM audit_log WHERE seq >= 4"], 4),
        (["DELETE FROM audit_log"], 1),
        (["DELETE FROM audit_log WHERE seq = 3", "UPDATE audit_log SET seq = seq - 1 WHERE seq > 3"], 3),
        ([f"INSERT INTO audit_log SELECT 7, {COPY} FROM audit_log WHERE seq = 6"], 7),
        ([f"INSERT INTO audit_log SELECT 0, {COPY} FROM audit_log WHERE seq = 1"], 0),
        (
            [
                "UPDATE audit_log SET seq = -seq WHERE seq > 3",
                "UPDATE audit_log SET seq = 1 - seq WHERE seq < 0",
                f"INSERT INTO audit_log SELECT 4, {COPY} FROM audit_log WHERE seq = 3",
            ],
            4,
        ),
        (
            [
                "UPDATE audit_log SET seq = 99 WHERE seq = 2",
                "UPDATE audit_log SET seq = 2 WHERE seq = 5",
                "UPDATE audit_log SET seq = 5 WHERE seq = 99",
            ],
            2,
        ),
        (["DELETE FROM audit_ends"], 1),
        (["UPDATE audit_ends SET last_seq = 5"], 6),
        (["UPDATE audit_ends SET last_seq = 7"], 7),
        (["UPDATE audit_ends SET last_hash = zeroblob(32)"], 6),
        (["DELETE FROM audit_log WHERE seq = 6", "UPDATE audit_ends SET last_seq = 5"], 5),
        (["UPDATE audit_ends SET pruned_seq = 2"], 1),
        (["DELETE FROM audit_log WHERE seq <= 2", "UPDATE audit_ends SET pruned_seq = 2"], 3),
        (
            [
                "UPDATE audit_ends SET pruned_seq = 2, pruned_hash = (SELECT hash FROM audit_log WHERE seq = 2)",
                "DELETE FROM audit_log WHERE seq <= 2",
            ],
            1,
        ),
    ],
    ids=[
        "first removed",
        "middle removed",
        "newest removed",
        "tail removed",
        "emptied",
        "removed and closed up",
        "put behind the end",
        "put before the beginning",
        "put in between",
        "two exchanged",
        "ends removed",
        "end moved back",
        "end moved on",
        "another last hash",
        "newest removed and end moved",
        "beginning moved",
        "oldest removed and beginning moved",
        "a pruning that nothing tells of",
    ],
)
async def test_rows_removed_put_in_or_moved(filled: Ledger, done: list[str], bad_seq: int) -> None:
    filled.tamper(*done)
    verdict = filled.verify()
    assert verdict.reason is not None
    assert verdict.bad_seq == bad_seq


async def test_a_chain_made_anew_is_found_by_who_noted_a_row(filled: Ledger) -> None:
    """The hashes have no secret: whoever may write to the file can make all of them anew, but not what was noted."""
    noted = Known(3, (await filled.rows())[2].hash.hex())
    assert filled.verify(noted).reason is None
    assert filled.verify(Known(3, noted.hash.upper())).reason is None
    _make_anew(filled, 3, "forged")
    assert filled.verify().reason is None
    assert filled.verify(noted).bad_seq == 3


def _make_anew(ledger: Ledger, from_seq: int, actor: str) -> None:
    with closing(sqlite3.connect(ledger.database.path)) as conn:
        conn.execute("DROP TRIGGER audit_log_stays")
        rows: list[Row] = conn.execute("SELECT * FROM audit_log ORDER BY seq").fetchall()
        previous = rows[from_seq - 2][-1]
        for row in rows[from_seq - 1 :]:
            cells = (*row[:4], actor, *row[5:-1])
            previous = hash_of(previous, cells)
            conn.execute("UPDATE audit_log SET actor_id = ?, hash = ? WHERE seq = ?", (actor, previous, row[0]))
        conn.execute("UPDATE audit_ends SET last_hash = ?", (previous,))
        conn.commit()


async def test_a_noted_row_that_is_not_there(filled: Ledger) -> None:
    verdict = filled.verify(Known(9, "00"))
    assert (verdict.bad_seq, verdict.checked) == (9, 6)


async def test_an_empty_trail_is_whole(ledger: Ledger) -> None:
    verdict = ledger.verify()
    assert (verdict.checked, verdict.pruned, verdict.last_seq, verdict.reason) == (0, 0, 0, None)


@pytest.mark.parametrize("statement", ["UPDATE audit_log SET actor_id = 'x'", "DELETE FROM audit_log WHERE seq = 2"])
async def test_rows_stay_as_they_are(filled: Ledger, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        await filled.database.write(lambda tx: tx.execute(statement))
    assert filled.verify().reason is None


async def test_pages_and_progress(filled: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "PAGE_ROWS", 2)
    told: list[tuple[int, int]] = []
    verdict = verification.verify_file(filled.database.path, None, lambda done, whole: told.append((done, whole)))
    assert (verdict.checked, verdict.reason) == (6, None)
    assert told == [(2, 6), (4, 6), (6, 6)]
    filled.tamper("UPDATE audit_log SET count = 5 WHERE seq = 5")
    assert filled.verify().bad_seq == 5


async def test_what_the_daemon_writes_meanwhile_is_no_fault(filled: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "PAGE_ROWS", 2)
    with closing(verification.open_beside(filled.database.path)) as conn:
        check = verification._Check(None)
        assert check.take(conn)
        await filled.change(subject="t7")
        assert await filled.audit.prune(0, 3) == 4
        while check.take(conn):
            pass
    verdict = check.verdict()
    assert (verdict.pruned, verdict.last_seq, verdict.checked) == (4, 8, 6)
