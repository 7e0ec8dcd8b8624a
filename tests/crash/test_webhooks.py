"""A kill while webhooks are on their way: each event arrives under one delivery id, each request is one run."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from alloyd.kit.signatures import signature_header, verify
from tests.crash.harness import PATIENCE_S, LostError
from tests.crash.points import DURING_A_DELIVERY

pytestmark = pytest.mark.crash

EVENTS = 8
SECRET = "whsec_0123456789abcdef"
TELL = {
    "name": "tell",
    "nodes": [
        {
            "key": "tell",
            "operation": "event.emit",
            "config": {"kind": "order.paid", "payload": {"number": "{{ trigger.number }}"}},
        }
    ],
}


@dataclass
class Receiver:
    """Takes every delivery, and keeps each by its id."""

    url: str = ""
    bodies: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        verify("alloyd", SECRET, headers, body, time.time_ns() // 1_000_000)
        self.bodies[headers["x-alloyd-delivery"]].append(body)
        self.news.set()
        return web.Response()

    def numbers(self) -> set[int]:
        return {json.loads(bodies[0])["payload"]["number"] for bodies in self.bodies.values()}


@asynccontextmanager
async def open_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("crash_at", DURING_A_DELIVERY)
async def test_no_delivery_is_lost(scene, crash_at):
    daemon = scene.daemon
    async with open_receiver() as receiver, asyncio.timeout(PATIENCE_S):
        await daemon.start(crash_at)
        async with daemon.client() as client:
            body = {"url": receiver.url, "events": ["order.*"], "secret": SECRET}
            _status, webhook = await client.send("POST", "/v1/webhooks", json=body)
            _status, saved = await client.send("POST", "/v1/workflow-definitions", json=TELL)
            told = set()
            for number in range(EVENTS):
                try:
                    path = f"/api/private/trigger/{saved['id']}"
                    status, _data = await client.send("POST", path, json={"number": number})
                except LostError:
                    break
                assert status == 200
                told.add(number)
        await daemon.die()
        assert told
        await daemon.start()
        while not told <= receiver.numbers():
            receiver.news.clear()
            await receiver.news.wait()
        async with daemon.client() as client:
            # A start whose answer was lost may still run, and have its event delivered only then.
            while {run["status"] for run in await client.get("/v1/workflow-runs")} != {"completed"}:
                await asyncio.sleep(0)
            stem, listed = f"/v1/webhooks/{webhook['id']}/deliveries", []
            while {one["state"] for one in listed} != {"delivered"}:
                listed = await client.get(stem)
    assert {one["id"] for one in listed} == set(receiver.bodies)
    numbers = [json.loads(bodies[0])["payload"]["number"] for bodies in receiver.bodies.values()]
    assert len(numbers) == len(set(numbers))  # an event is one delivery, however often it is sent
    assert all(len(set(bodies)) == 1 for bodies in receiver.bodies.values())
    again = sum(len(bodies) - 1 for bodies in receiver.bodies.values())
    assert again <= 4  # those that were under way: webhooks.sending_per_webhook_max
    if crash_at.startswith("webhook.sent"):
        assert again >= 1


async def test_request_whose_answer_was_lost_is_one_run(scene):
    daemon = scene.daemon
    definition = TELL | {"trigger": {"type": "webhook", "secret": SECRET}}
    async with asyncio.timeout(PATIENCE_S):
        await daemon.start("wire.before_answer:2")
        body = b'{"number": 1}'
        headers = {
            "X-Alloyd-Signature": signature_header((SECRET,), int(time.time()), body),
            "X-Alloyd-Delivery": "d-1",
            "Content-Type": "application/json",
        }
        async with daemon.client() as client:
            _status, saved = await client.send("POST", "/v1/workflow-definitions", json=definition)
            with pytest.raises(LostError):
                await client.send("POST", f"/v1/hooks/{saved['id']}", data=body, headers=headers)
        await daemon.die()
        await daemon.start()
        async with daemon.client() as client:
            status, first = await client.send("POST", f"/v1/hooks/{saved['id']}", data=body, headers=headers)
            headers["X-Alloyd-Signature"] = signature_header((SECRET,), int(time.time()) + 1, body)
            again, second = await client.send("POST", f"/v1/hooks/{saved['id']}", data=body, headers=headers)
            runs = await client.get("/v1/workflow-runs", workflow_id=saved["id"])
    assert (status, again) == (202, 202)
    assert [run["id"] for run in runs] == [first["run_id"]] == [second["run_id"]]
