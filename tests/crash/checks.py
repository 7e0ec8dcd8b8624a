"""What has to hold after the last start, whatever happened before: seen through the API, in the tables, on the disk."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

from alloyd.domain.audit.verification import verify
from tests.crash.harness import PATIENCE_S, Client, Daemon, Ledger, OtherParty
from tests.crash.load import WEAVE_PATIENCE_MS, Load

_ENDS = ("completed", "failed", "cancelled")
_UNFINISHED = ("queued", "running", "waiting", "pending")
_NEXT = {
    "": ("created", "queued"),
    "created": ("queued", "cancelled"),
    "queued": ("started", "failed", "cancelled"),
    "started": ("waiting", "resumed", *_ENDS),
    "resumed": ("waiting", "resumed", *_ENDS),
    "waiting": ("resumed", "failed", "cancelled"),
}
_LEFT_BY_A_STOP = {"alloyd.db", "alloyd.lock", "blobs", "tmp", "keys", "backups"}


async def check_all(daemon: Daemon, load: Load, other: OtherParty) -> None:
    """Start once more, let everything end, and look at all of it."""
    await daemon.start()
    async with daemon.client() as client:
        listening = asyncio.create_task(load.listener.listen(client))
        await load.settle(client)
        await wait_for_the_end(client, load)
        await wait_for_the_sweep(client, daemon)
        await wait_for_the_news(daemon, load)
        assert await daemon.terminate() == 0, daemon.errors()
        await listening
    check_litter(daemon.data_dir)  # before the database is opened here, which makes files beside it
    with closing(open_read_only(daemon.database)) as conn:
        check_database(conn)
        check_runs(conn, load.shared.ledger)
        check_waits(conn)
        check_turns(conn)
        check_events(conn, load.listener.heard)
        check_calls(conn, load.shared.ledger, other)
        check_storage(conn, daemon.data_dir)
        check_audit(conn)


async def wait_for_the_end(client: Client, load: Load) -> None:
    """Until no run is under way, looking again whenever something happens."""
    async with asyncio.timeout(PATIENCE_S):
        while run_id := await _find_unfinished(client):
            load.listener.news.clear()
            if run_id not in load.listener.ended:
                await load.listener.news.wait()


async def _find_unfinished(client: Client) -> str | None:
    # A run may go back from waiting to running after the running ones were looked at, so one pass is not enough.
    for state in (*_UNFINISHED, *_UNFINISHED):
        found = await client.get("/v1/workflow-runs", status=state, limit="1")
        if found:
            return str(found[0]["id"])
    return None


async def wait_for_the_sweep(client: Client, daemon: Daemon) -> None:
    """Until the sweeper has nothing to do any more, asking the daemon meanwhile whether it is well."""
    async with asyncio.timeout(PATIENCE_S):
        while not _is_swept(daemon):
            status, _said = await client.send("GET", "/readyz")
            assert status == 200


async def wait_for_the_news(daemon: Daemon, load: Load) -> None:
    """Until the listener has heard what is in the table."""
    with closing(open_read_only(daemon.database)) as conn:
        last = _one(conn, "SELECT max(id) FROM events")
    async with asyncio.timeout(PATIENCE_S):
        while load.listener.heard[-1] < last:
            load.listener.news.clear()
            await load.listener.news.wait()


def _is_swept(daemon: Daemon) -> bool:
    with closing(open_read_only(daemon.database)) as conn:
        waiting = _one(conn, "SELECT count(*) FROM blobs WHERE unused_at IS NOT NULL")
        trash = _one(conn, "SELECT count(*) FROM storage_nodes WHERE parent_id = 'trash'")
        named = {row[0] for row in conn.execute("SELECT id FROM blobs")}
    return not waiting and not trash and _contents(daemon.data_dir).keys() == named


def open_read_only(path: Path) -> sqlite3.Connection:
    """The database as another process sees it."""
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)


def check_database(conn: sqlite3.Connection) -> None:
    """SQLite's own checks."""
    assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert conn.execute("PRAGMA foreign_key_check").fetchall() == []
    assert _one(conn, "PRAGMA auto_vacuum") == 2


def check_runs(conn: sqlite3.Connection, ledger: Ledger) -> None:
    """Every acknowledged run is there and ended once; what was asked for once is there once."""
    rows = conn.execute(
        "SELECT id, state, ended_at, owner, error, payload, parent_run_id FROM runs ORDER BY seq"
    ).fetchall()
    states = {row[0]: row[1] for row in rows}
    for run_id, state, ended_at, owner, error, _payload, _parent in rows:
        assert state in _ENDS, f"run {run_id} is {state}"
        assert ended_at is not None
        assert owner is None
        assert state != "failed", f"run {run_id} failed: {error}"
    acknowledged = ledger.all_of("run")
    lost = [entry for entry in acknowledged if entry["id"] not in states]
    assert not lost, f"acknowledged and gone: {lost}"
    by_number = Counter(json.loads(row[5])["number"] for row in rows if row[6] is None)
    assert not [number for number, count in by_number.items() if count > 1], "asked for once, run twice"
    doubted = {entry["number"] for entry in ledger.all_of("run in doubt")}
    assert set(by_number) <= {entry["number"] for entry in acknowledged} | doubted
    for entry in ledger.all_of("cancel"):
        assert states[entry["id"]] == "cancelled"
    assert _one(conn, "SELECT count(*) FROM timers") == 0
    unsettled = conn.execute(
        "SELECT run_id, key, state FROM run_steps WHERE state NOT IN ('completed', 'failed', 'skipped', 'cancelled')"
    ).fetchall()
    assert unsettled == []


def check_audit(conn: sqlite3.Connection) -> None:
    """The trail is whole, and tells once of each run that is there, and of no other."""
    assert verify(conn).reason is None
    rows = conn.execute("SELECT target, route FROM audit_log WHERE action = 'workflow.run'").fetchall()
    told = Counter(target for target, route in rows if not route.endswith("/start"))
    started = Counter(f"run:{row[0]}" for row in conn.execute("SELECT id FROM runs WHERE parent_run_id IS NULL"))
    assert told == started, (told - started, started - told)


def check_waits(conn: sqlite3.Connection) -> None:
    """Every run that waited for others started each once and got what they gave; nobody waits for anything any more."""
    for table in ("wakeups", "event_waits", "foreach_items", "run_slots"):
        assert _one(conn, f"SELECT count(*) FROM {table}") == 0, table
    made = Counter(
        conn.execute("SELECT parent_run_id, parent_step, item_index FROM runs WHERE parent_run_id IS NOT NULL")
    )
    assert set(made.values()) <= {1}, "a child was made twice"
    for run_id, output in conn.execute(
        "SELECT run_id, output FROM run_steps WHERE key = 'each' AND state = 'completed'"
    ):
        assert json.loads(output) == [{"n": n} for n in range(4)]
        assert {(run_id, "each", n) for n in range(4)} | {(run_id, "call", None)} <= made.keys()
    times = {
        (run_id, kind): at_ms
        for run_id, kind, at_ms in conn.execute(
            "SELECT run_id, kind, created_at FROM events WHERE kind = 'weave.go' "
            "OR (kind = 'workflow.node.waiting' AND node_key = 'wait')"
        )
    }
    for run_id, output in conn.execute(
        "SELECT run_id, output FROM run_steps WHERE key = 'wait' AND state = 'completed'"
    ):
        told_after_ms = times[run_id, "weave.go"] - times[run_id, "workflow.node.waiting"]
        if 0 <= told_after_ms < WEAVE_PATIENCE_MS - 1000:  # later than that, its time may have been over
            assert json.loads(output).get("kind") == "weave.go", f"run {run_id} missed its event"


def check_turns(conn: sqlite3.Connection) -> None:
    """Of runs with one concurrency key no two ran at the same time, and they came in the order of their starts."""
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    rows = conn.execute(
        "SELECT r.payload, min(CASE WHEN e.kind = 'workflow.run.started' THEN e.id END), "
        "max(CASE WHEN e.kind IN ('workflow.run.completed', 'workflow.run.failed', 'workflow.run.cancelled') "
        "THEN e.id END) FROM runs r JOIN events e ON e.run_id = r.id JOIN workflows w ON w.id = r.workflow_id "
        "WHERE w.name = 'weave' AND r.parent_run_id IS NULL GROUP BY r.id ORDER BY r.seq"
    )
    for payload, started, ended in rows:
        spans[json.loads(payload)["number"] // 10].append((started, ended))
    for key, turns in spans.items():
        for (_before, ended), (started, _after) in pairwise(turns):
            assert ended < started, f"two runs of the key {key} at one time, or not in their order"


def check_events(conn: sqlite3.Connection, heard: list[int]) -> None:
    """Events in a legal order, the same for the tables and for who listened all the time."""
    rows = conn.execute("SELECT id, kind, run_id, node_key, payload, created_at FROM events ORDER BY id").fetchall()
    unheard = {row[0] for row in rows} - set(heard)
    assert not unheard, f"never heard: {[row[:4] for row in rows if row[0] in unheard]}"
    assert heard == [row[0] for row in rows], "heard what did not happen"
    times = [row[5] for row in rows]
    assert times == sorted(times)
    of_run: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        if row[2] is not None:
            of_run[row[2]].append(row)
    states = dict(conn.execute("SELECT id, state FROM runs"))
    assert of_run.keys() == states.keys()
    completed = set(conn.execute("SELECT run_id, key FROM run_steps WHERE state = 'completed'"))
    for run_id, events in of_run.items():
        _check_run_events(run_id, states[run_id], events)
        told = Counter(event[3] for event in events if event[1] == "workflow.node.completed")
        assert set(told.values()) <= {1}, f"run {run_id}: a step completed twice: {told}"
        assert {key for run, key in completed if run == run_id} == set(told)
        paid = sum(1 for event in events if event[1] == "order.paid")
        assert paid == ((run_id, "tell") in completed), f"run {run_id} told {paid} times"


def _check_run_events(run_id: str, state: str, events: list[Any]) -> None:
    at = ""
    for event in events:
        kind = event[1].removeprefix("workflow.run.")
        if kind == event[1]:
            assert at not in ("", "created", *_ENDS), f"run {run_id}: {kind} after {at or 'nothing'}"
            continue
        assert kind in _NEXT.get(at, ()), f"run {run_id}: {kind} after {at or 'nothing'}"
        at = kind
    assert at == state, f"run {run_id} is {state}, its last event says {at}"


def check_calls(conn: sqlite3.Connection, ledger: Ledger, other: OtherParty) -> None:
    """No call after its step's result was recorded, and never more calls than attempts or crashes account for."""
    events: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for run_id, key, kind, at_ms in conn.execute(
        "SELECT run_id, node_key, kind, created_at FROM events WHERE node_key IS NOT NULL ORDER BY id"
    ):
        events[f"{run_id}:{key}"].append((kind.removeprefix("workflow.node."), at_ms))
    by_key: dict[str, list[Any]] = defaultdict(list)
    for call in other.calls:
        by_key[call.key].append(call)
    for key, calls in by_key.items():
        told = events[key]
        started = [at_ms for kind, at_ms in told if kind == "started"]
        completed_at = [at_ms for kind, at_ms in told if kind == "completed"]
        retries = sum(1 for kind, _at_ms in told if kind == "retrying")
        assert len(calls) <= len(started), f"{key}: {len(calls)} calls in {len(started)} attempts"
        if completed_at:
            late = [call.at_ms for call in calls if call.at_ms > completed_at[0]]
            assert not late, f"{key}: recorded at {completed_at[0]}, called at {late}"
        crashes = sum(1 for at_ms in ledger.kills_ms if started[0] <= at_ms <= started[-1])
        assert len(started) <= 1 + retries + crashes, f"{key}: {len(started)} attempts, {crashes} crashes meanwhile"
    completed = {
        f"{run}:{key}" for run, key in conn.execute("SELECT run_id, key FROM run_steps WHERE state = 'completed'")
    }
    called = {key for key in completed if key.rpartition(":")[2] in ("early", "shaky", "late")}
    assert called <= by_key.keys(), "completed without a call"


def check_storage(conn: sqlite3.Connection, data_dir: Path) -> None:
    """Rows and contents name each other, every byte is right, and what is counted is what is there."""
    nodes = conn.execute("SELECT blob_id, size, sha256, name FROM storage_nodes WHERE is_file = 1").fetchall()
    blobs = {row[0]: row[1:] for row in conn.execute("SELECT id, size, sha256 FROM blobs")}
    assert _one(conn, "SELECT count(*) FROM blobs WHERE unused_at IS NOT NULL") == 0
    assert {blob_id: (size, sha256) for blob_id, size, sha256, _name in nodes} == blobs
    contents = _contents(data_dir)
    assert contents.keys() == blobs.keys()
    for blob_id, (size, sha256) in blobs.items():
        content = contents[blob_id].read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (size, sha256)
    counted = conn.execute("SELECT coalesce(sum(bytes), 0), coalesce(sum(files), 0) FROM storage_usage").fetchone()
    assert counted == (sum(row[1] for row in nodes), len(nodes))
    kept = {row[0] for row in conn.execute("SELECT run_id FROM run_steps WHERE key = 'keep' AND state = 'completed'")}
    written = {name.removesuffix(".txt"): sha256 for _blob, _size, sha256, name in nodes if name.endswith(".txt")}
    assert kept <= written.keys()
    for run_id, sha256 in written.items():
        assert hashlib.sha256(run_id.encode()).hexdigest() == sha256


def check_litter(data_dir: Path) -> None:
    """Nothing is there that has no use."""
    names = {path.name for path in data_dir.iterdir()}
    assert names == _LEFT_BY_A_STOP, names
    assert list((data_dir / "tmp").iterdir()) == []
    assert not [path for path in (data_dir / "backups").iterdir() if path.suffix == ".partial"]


def _contents(data_dir: Path) -> dict[str, Path]:
    return {path.name: path for shard in (data_dir / "blobs").iterdir() for path in shard.iterdir()}


def _one(conn: sqlite3.Connection, sql: str) -> Any:
    return conn.execute(sql).fetchone()[0]
