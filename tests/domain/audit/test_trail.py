"""Which writes leave a row, what stands in it, and that it is there exactly when the write is."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alloyd.db import GroupedWrite, Tx
from alloyd.domain.audit import trail
from alloyd.errors import AlloydError, conflict
from alloyd.events.model import Event
from alloyd.kit.stamp import Stamp, stamped
from tests.domain.audit.conftest import Ledger, emit_nothing, open_ledger, request_stamp


async def test_a_change_is_on_record_as_its_request_says(ledger: Ledger) -> None:
    stamp = request_stamp()
    stamp.changed = ("slug", "name")
    await ledger.change(subject="t7", stamp=stamp)
    (row,) = await ledger.rows()
    assert (row.seq, row.created_at, row.org_id) == (1, ledger.clock.now_ms(), "acme")
    assert (row.actor_kind, row.actor_id, row.action, row.target) == ("user", "u1", "team.create", "team:t7")
    assert (row.outcome, row.status, row.changed, row.count) == ("ok", 201, '["slug","name"]', 1)
    assert (row.route, row.address, row.request_id) == ("POST /v1/teams", "192.0.2.1", "r1")
    assert len(row.hash) == 32


@pytest.mark.parametrize(
    ("event", "target"),
    [
        (Event("acme", "api_key.created", "k1"), "api_key:k1"),
        (Event("acme", "workflow.run.queued", "r1", run_id="r1"), "run:r1"),
        (Event("acme", "workflow.node.skipped", "r1", run_id="r1", node_key="n"), "run:r1"),
        (Event("acme", "storage_file.created", "/a/b.txt"), "storage_file:/a/b.txt"),
        (Event("acme", "odd", "x"), "odd:x"),
    ],
)
async def test_target_is_the_first_events_subject(ledger: Ledger, event: Event, target: str) -> None:
    with stamped(request_stamp()):
        await ledger.database.write(lambda tx: (tx.emit(event), tx.emit(Event("acme", "other.made", "o1"))))
    assert [row.target for row in await ledger.rows()] == [target]


async def test_what_leaves_no_row(ledger: Ledger) -> None:
    async def failing(tx: Tx) -> None:
        raise AssertionError

    def fails(tx: Tx) -> None:
        tx.emit(Event("acme", "team.created", "t1"))
        tx.audit("team:t1")
        raise conflict("no")

    with stamped(request_stamp()):
        await ledger.database.write(emit_nothing)
        with pytest.raises(AlloydError):
            await ledger.database.write(fails)
    await ledger.database.write(lambda tx: tx.emit(Event("acme", "workflow.node.completed", "r1")))
    with stamped(request_stamp()), stamped(None):
        await ledger.database.write(lambda tx: tx.emit(Event("acme", "team.created", "t1")))
    assert await ledger.rows() == []
    assert ledger.verify().reason is None


async def test_a_write_says_more_of_itself(ledger: Ledger) -> None:
    def login(tx: Tx) -> None:
        tx.audit("user:u9", actor=("user", "u9"), org_id="acme")

    def update(tx: Tx) -> None:
        tx.emit(Event("acme", "team.updated", "t1"))
        tx.audit(changed=["name"])

    with stamped(Stamp("auth.login", "anonymous")):
        await ledger.database.write(login)
    with stamped(request_stamp("team.update")):
        await ledger.database.write(update)
    await ledger.database.write(lambda tx: tx.audit("run:*", action="run.delete", count=12))
    found = [
        (row.actor_kind, row.actor_id, row.action, row.target, row.org_id, row.changed, row.count)
        for row in await ledger.rows()
    ]
    assert found == [
        ("user", "u9", "auth.login", "user:u9", "acme", "[]", 1),
        ("user", "u1", "team.update", "team:t1", "acme", '["name"]', 1),
        ("system", "", "run.delete", "run:*", "", "[]", 12),
    ]


@pytest.mark.parametrize("fault", [lambda tx: tx.audit("team:t1"), lambda tx: tx.audit("team:\ud800", action="x.y")])
async def test_a_note_that_is_no_row_fails_its_own_write_alone(ledger: Ledger, fault) -> None:
    wrong = ledger.database.submit(fault)
    right = asyncio.create_task(ledger.change())
    with pytest.raises(ValueError):  # noqa: PT011  # a fault of the program, not of a caller
        await wrong
    await right
    assert [row.target for row in await ledger.rows()] == ["team:t1"]


async def test_each_item_of_a_group_has_its_own_row(ledger: Ledger) -> None:
    def write_all(tx: Tx, items: list[str]) -> list[str]:
        for item in items:
            tx.emit(Event("acme", "workflow.run.queued", item))
        return items

    def find_target(item: str, result: str) -> tuple[str, str] | None:
        return None if result == "r5" else ("acme", f"run:{item}")

    grouped = GroupedWrite(ledger.database, write_all, find_target)
    waiting = []
    for actor, item in [("u1", "r1"), ("u2", "r2"), (None, "r3"), ("u3", "r4"), ("u3", "r5")]:
        with stamped(None if actor is None else request_stamp("workflow.run", actor)):
            waiting.append(grouped.submit(item))
    assert await asyncio.gather(*waiting) == ["r1", "r2", "r3", "r4", "r5"]
    assert ledger.database.stats.commits == 1
    found = [(row.actor_id, row.target) for row in await ledger.rows()]
    assert found == [("u1", "run:r1"), ("u2", "run:r2"), ("u3", "run:r4")]
    assert ledger.verify().checked == 3


async def test_a_group_without_targets_leaves_no_row(ledger: Ledger) -> None:
    def write_all(tx: Tx, items: list[str]) -> list[str]:
        tx.emit(Event("acme", "workflow.node.completed", "r1"))
        return items

    with stamped(request_stamp()):
        await GroupedWrite(ledger.database, write_all).submit("turn")
    assert await ledger.rows() == []


async def test_without_its_row_nothing_is_stored(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    await ledger.change(subject="t1")
    with monkeypatch.context() as patch:

        def fail(*_arguments: object) -> None:
            raise sqlite3.OperationalError("the disk is not what it was")

        patch.setattr(trail.store, "save_last", fail)
        with pytest.raises(sqlite3.OperationalError):
            await ledger.change(subject="t2")
    await ledger.change(subject="t3")
    assert [(row.seq, row.target) for row in await ledger.rows()] == [(1, "team:t1"), (2, "team:t3")]
    subjects = await ledger.database.read(lambda conn: conn.execute("SELECT subject FROM events").fetchall())
    assert subjects == [("t1",), ("t3",)]
    assert ledger.verify().reason is None


async def test_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    for subject in ("t1", "t2"):
        ledger = await open_ledger(tmp_path / "alloyd.db")
        await ledger.change(subject=subject)
        await ledger.database.close()
    verdict = ledger.verify()
    assert (verdict.checked, verdict.last_seq, verdict.reason) == (2, 2, None)


async def test_a_row_put_behind_the_end_stops_nobody(ledger: Ledger) -> None:
    await ledger.change()
    ledger.tamper(
        "INSERT INTO audit_log SELECT 2, created_at, org_id, actor_kind, actor_id, action, target, outcome, status,"
        " changed, count, route, address, request_id, hash FROM audit_log"
    )
    with pytest.raises(sqlite3.IntegrityError):  # the number is taken: nothing may be stored without its row
        await ledger.change(subject="t2")
    await ledger.change(subject="t3")
    assert [row.seq for row in await ledger.rows()] == [1, 2, 3]
    assert ledger.verify().bad_seq == 2


_WRITES = st.lists(
    st.tuples(st.sampled_from(["change", "nothing", "fails", "unstamped", "two"]), st.text(max_size=20)), max_size=25
)


@settings(max_examples=25, deadline=None)
@given(_WRITES)
def test_the_chain_holds_whatever_is_written(writes: list[tuple[str, str]]) -> None:
    asyncio.run(_write_all(writes))


async def _write_all(writes: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        ledger = await open_ledger(Path(place) / "alloyd.db")
        try:
            outcomes = await asyncio.gather(*[_write(ledger, *write) for write in writes], return_exceptions=True)
            assert all(outcome is None or isinstance(outcome, AlloydError) for outcome in outcomes)
            expected = [f"thing:{text}" for kind, text in writes for _ in range({"change": 1, "two": 2}.get(kind, 0))]
            assert [row.target for row in await ledger.rows()] == expected
            verdict = ledger.verify()
            assert (verdict.checked, verdict.last_seq, verdict.reason) == (len(expected), len(expected), None)
        finally:
            await ledger.database.close()


async def _write(ledger: Ledger, kind: str, text: str) -> None:
    def write(tx: Tx) -> None:
        if kind != "nothing":
            tx.emit(Event("acme", "thing.made", text))
        if kind == "two":
            tx.audit(f"thing:{text}")
            tx.audit(f"thing:{text}")
        if kind == "fails":
            raise conflict("no")

    with stamped(None if kind == "unstamped" else request_stamp()):
        await ledger.database.write(write)
