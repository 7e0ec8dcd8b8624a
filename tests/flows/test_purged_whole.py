"""A purge of an end user's runs in the whole program: no byte of theirs in any file of the data directory."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from alloyd.config import EgressConfig, EngineConfig
from alloyd.domain.idempotency.model import Once
from alloyd.domain.webhooks.model import CreateWebhook
from tests.app import Served, open_app
from tests.domain.webhooks.conftest import open_receiver

CANARY = "QANARY-of-ada-"

FLOW: list[dict[str, Any]] = [
    {
        "key": "say",
        "operation": "event.emit",
        "config": {"kind": "said.it", "payload": {"text": "{{ trigger.text }}"}},
    },
    {
        "key": "file",
        "operation": "storage.put_object",
        "config": {"filename": "{{ trigger.name }}.txt", "content": "{{ trigger.text }}"},
    },
    {
        "key": "each",
        "operation": "workflow.foreach",
        "config": {
            "items": ["{{ trigger.text }}", "b"],
            "nodes": [{"key": "t", "operation": "transform", "config": {"values": {"item": "{{ item }}"}}}],
        },
    },
    {"key": "wait", "operation": "workflow.wait_event", "depends_on": ["each", "file"], "config": {"event": "go"}},
    {
        "key": "fail",
        "operation": "transform",
        "depends_on": ["wait.received"],
        "config": {"values": {"n": "{{ int(steps.wait.output.payload.text) }}"}},
    },
]


def places_of(directory: Path, text: str) -> set[str]:
    """Files that hold the text, or are called so."""
    return {
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and (text.encode() in path.read_bytes() or text in path.name)
    }


async def run_all(served: Served, user_id: str, text: str) -> None:
    """A run that fails at its end, and one that goes on waiting."""
    app, principal = served.app, await served.principal()
    for number in range(2):
        accepted = await app.embedded_events.trigger(
            principal, user_id, "begin", {"text": text, "name": text[:40]}, Once("r", f"{text[:40]}-{number}", "d")
        )
        (run_id,) = accepted.started
        while (await app.runs.find_state(principal, run_id)).value != "waiting" or not (
            await app.database.read(
                lambda conn, run_id=run_id: conn.execute(
                    "SELECT 1 FROM event_waits WHERE run_id = ?", (run_id,)
                ).fetchone()
            )
        ):
            await asyncio.sleep(0)
        if not number:
            await app.embedded_events.trigger(principal, user_id, "go", {"text": text})
            await app.runs.wait(principal, run_id, 30)


async def test_no_byte_is_left_in_any_file(tmp_path):
    async with open_app(tmp_path) as served, asyncio.timeout(60):
        app, principal = served.app, await served.principal()
        await app.webhooks.create(principal, CreateWebhook("http://127.0.0.1:9/hook", ("said.it",)))
        workflow_id = await served.publish(*FLOW, trigger={"type": "event", "event": "begin"})
        users = {}
        for name in ("ada", "bob"):
            users[name] = (await app.end_users.create(principal, name)).id
            await app.installations.install(principal, name, workflow_id)
        await run_all(served, users["ada"], CANARY * 300)
        await run_all(served, users["bob"], "BOBS-data-" * 300)
        await run_all(served, users["ada"], CANARY)
        assert any("blobs" in place for place in places_of(tmp_path, CANARY))
        assert (await app.end_user_purge.purge(principal, users["ada"])).runs >= 4
        assert places_of(tmp_path, CANARY) == set()
        assert any("blobs" in place for place in places_of(tmp_path, "BOBS-data-"))
        (log, *_more) = await app.run_logs.list_logs(principal, users["bob"], workflow_id, 0, 10)
        assert log.status.value in ("pending", "failure")
        assert await app.run_logs.list_logs(principal, users["ada"], workflow_id, 0, 10) == []
    assert places_of(tmp_path, CANARY) == set()


NESTED = {
    "items": [1, 2],
    "concurrency": 1,
    "input": {"text": "{{ trigger.text }}"},
    "nodes": [
        {
            "key": "w",
            "operation": "workflow.wait_event",
            "config": {"event": "never", "match": {"text": "{{ trigger.text }}"}},
        }
    ],
}
EVERYWHERE: list[dict[str, Any]] = [
    *FLOW,
    {"key": "keep", "operation": "workflow.merge_context", "config": {"values": {"kept": "{{ trigger.text }}"}}},
    {
        "key": "long",
        "operation": "transform",
        "config": {"values": {"a": "{{ trigger.text }}", "b": "{{ trigger.text }}"}},
    },
    {
        "key": "ai",
        "operation": "ai.generate",
        "config": {"prompt": "{{ trigger.text }}", "provider": "echo", "model": "echo"},
    },
    {"key": "call", "operation": "workflow.call", "config": {"workflow": "inner", "input": "{{ trigger }}"}},
]


def tables_of(conn: sqlite3.Connection, text: str) -> set[str]:
    """Tables a row of which holds the text."""
    names = [row[0] for row in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {
        name
        for name in names
        if any(text in str(value) for row in conn.execute(f'SELECT * FROM "{name}"') for value in row)
    }


async def test_no_row_and_no_file_is_left_by_a_life_over_http(tmp_path):
    """Two users alike, through the public door; of the purged one nothing is anywhere, of the other one everything."""
    engine, egress = EngineConfig(step_output_bytes_max=2000), EgressConfig(allow=("127.0.0.1/32",))
    async with open_receiver() as receiver, open_app(tmp_path, engine, egress=egress) as served, asyncio.timeout(60):
        receiver.answers = [500]
        app, principal = served.app, await served.principal()
        await served.data("POST", "/webhooks", {"url": receiver.url(), "events": ["said.it", "workflow.*"]}, 201)
        show = {"key": "t", "operation": "transform", "config": {"values": {"t": "{{ trigger }}"}}}
        await served.publish(show, name="inner")
        await served.publish(show, name="chained", trigger={"type": "event", "event": "said.it"})
        nested = {"key": "nested", "operation": "workflow.foreach", "config": NESTED}
        holding_id = await served.publish(nested, name="holding", trigger={"type": "event", "event": "hold"})
        workflow_id = await served.publish(*EVERYWHERE, trigger={"type": "event", "event": "begin"})
        for user, canary in (("ada", CANARY), ("bob", "BOBS-data-")):
            await live(served, user, (workflow_id, holding_id), canary)
        await app.triggers.consumer.settle()
        await app.webhook_events.settle()
        held = await app.database.read(lambda conn: (tables_of(conn, CANARY), tables_of(conn, "BOBS-data-")))
        assert held[0] == held[1] >= HOLDING
        status, _told = await ask(served, "DELETE", "users/ada/logs")
        assert status == 200
        assert places_of(tmp_path, CANARY) == set()
        left = await app.database.read(lambda conn: (tables_of(conn, CANARY), tables_of(conn, "BOBS-data-")))
        assert left == (set(), held[1])
        assert await app.database.read(find_left) == {}
        again, _told = await ask(served, "DELETE", "users/ada/logs")
        assert again == 200
        assert (await ask(served, "GET", f"workflows/{workflow_id}/logs?userId=ada"))[1] == {"logs": []}
        assert len((await ask(served, "GET", f"workflows/{workflow_id}/logs?userId=bob"))[1]["logs"]) > 2
        assert await app.database.read(
            lambda conn: conn.execute("SELECT count(*) FROM audit_log WHERE target LIKE 'end_user:%'").fetchone()[0]
        )  # who did what stays, and held nothing of it
        assert (await app.objects.usage(principal.org_id)).files > 0
    assert places_of(tmp_path, CANARY) == set()


# Where a run leaves what it was told; wakeups, timers and slots hold such things for a moment, or none.
HOLDING = {
    "runs",
    "run_steps",
    "foreach_items",
    "events",
    "event_waits",
    "idempotency_keys",
    "objects",
    "webhook_deliveries",
}


async def ask(served: Served, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    sent = {"Authorization": f"Bearer {await served.key('acme')}", **headers}
    url = f"{served.url}/2025-09/{path}"
    async with served.session.request(method, url, json=body or {}, headers=sent) as response:
        return response.status, await response.json()


async def live(served: Served, user: str, workflow_ids: tuple[str, ...], canary: str) -> None:
    """A run that fails, one that is made again of it, one that waits, one that is cancelled, one with items to come."""
    app, principal = served.app, await served.principal()
    assert (await ask(served, "POST", "users", {"username": user}))[0] == 201
    for one in workflow_ids:
        assert (await ask(served, "PUT", "workflows/activate", {"userId": user, "workflowId": one}))[0] == 200

    async def tell(event: str, text: str, key: str) -> None:
        body = {"userId": user, "event": event, "data": {"text": text, "name": f"{canary}{key}"}}
        status, told = await ask(served, "POST", "run/event", body, **{"Idempotency-Key": f"{canary}{key}"})
        assert status == 200, told

    for number, text in enumerate((canary, canary * 300, canary)):
        await tell("begin", text, f"begin-{number}")
    await tell("hold", canary, "hold")

    async def holds() -> bool:
        return await app.database.read(
            lambda conn: canary in str(conn.execute("SELECT matches FROM event_waits").fetchall())
        )

    async def waiting() -> list[str]:
        return await app.database.read(
            lambda conn: [
                row[0]
                for row in conn.execute(
                    "SELECT w.run_id FROM event_waits w JOIN runs r ON r.id = w.run_id JOIN end_users u "
                    "ON u.id = r.end_user_id WHERE u.username = ? AND w.step_key = 'wait' ORDER BY r.seq",
                    (user,),
                )
            ]
        )

    while len(await waiting()) < 3 or not await holds():
        await asyncio.sleep(0)
    first, _second, third = await waiting()
    await app.runs.cancel(principal, third)
    await app.event_waits.signal(principal, first, "go", {"text": canary})
    await app.runs.wait(principal, first, 30)
    again = await app.retries.retry(principal, first, "start")
    while again.run.id not in await waiting():
        await asyncio.sleep(0)


def find_left(conn: sqlite3.Connection) -> dict[str, int]:
    """Rows by table that name a run which is gone."""
    counts = {}
    for (name,) in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        columns = {row[1] for row in conn.execute(f'PRAGMA table_info("{name}")')}
        if "run_id" in columns and name not in ("usage_records", "schedule_fires"):
            counts[name] = conn.execute(
                f'SELECT count(*) FROM "{name}" WHERE run_id IS NOT NULL AND run_id NOT IN (SELECT id FROM runs)'
            ).fetchone()[0]
    return {name: count for name, count in counts.items() if count}
