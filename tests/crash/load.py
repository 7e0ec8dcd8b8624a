"""What clients do to a daemon that may die at any moment, each knowing what it may find afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.crash.harness import Client, Ledger, LostError

PURE = {
    "name": "pure",
    "nodes": [
        {"key": "first", "operation": "transform", "config": {"values": {"n": "{{ trigger.number }}"}}},
        {"key": "second", "operation": "workflow.noop", "depends_on": ["first"]},
        {"key": "third", "operation": "transform", "depends_on": ["second"], "config": {"values": {"ok": True}}},
    ],
}


NAP = {"name": "nap", "nodes": [{"key": "rest", "operation": "workflow.delay", "config": {"for": 500}}]}

# Crashes don't count against these retries.
_PATIENT = {"max_retries": 2, "backoff": "fixed", "initial_delay_ms": 50}


def _call(key: str, depends_on: list[str]) -> dict[str, Any]:
    body = {"run": "{{ run.id }}", "number": "{{ trigger.number }}"}
    config = {"url": f"{{{{ trigger.other }}}}/call/{key}", "method": "POST", "json": body}
    return {"key": key, "operation": "http.request", "depends_on": depends_on, "config": config, "policy": _PATIENT}


# A wait, a step that is tried again, calls to another party, an event and a file.
EFFECTS = {
    "name": "effects",
    "nodes": [
        {"key": "begin", "operation": "workflow.noop"},
        _call("early", ["begin"]),
        {"key": "rest", "operation": "workflow.delay", "depends_on": ["begin"], "config": {"for": 250}},
        _call("shaky", ["early", "rest"]),
        {
            "key": "tell",
            "operation": "event.emit",
            "depends_on": ["shaky"],
            "config": {"kind": "order.paid", "payload": {"number": "{{ trigger.number }}"}},
        },
        {
            "key": "keep",
            "operation": "storage.write",
            "depends_on": ["shaky"],
            "config": {"path": "runs/{{ run.id }}.txt", "content": "{{ run.id }}"},
            "policy": _PATIENT,
        },
        _call("late", ["tell", "keep"]),
    ],
}


WEAVE_PATIENCE_MS = 5000
# Runs that start others and wait for them, for an event, and for their turn.
WEAVE = {
    "name": "weave",
    "mode": "queue",
    "concurrency_key": "int(trigger.number / 10)",
    "nodes": [
        {
            "key": "each",
            "operation": "workflow.foreach",
            "config": {
                "items": [0, 1, 2, 3],
                "concurrency": 2,
                "nodes": [
                    {"key": "rest", "operation": "workflow.delay", "config": {"for": 10}},
                    {
                        "key": "n",
                        "operation": "transform",
                        "depends_on": ["rest"],
                        "config": {"values": {"n": "{{ item }}"}},
                    },
                ],
            },
        },
        {
            "key": "call",
            "operation": "workflow.call",
            "config": {"workflow": "pure", "input": {"number": "{{ trigger.number }}"}},
        },
        {
            "key": "wait",
            "operation": "workflow.wait_event",
            "config": {
                "event": "weave.*",
                "match": {"run": "{{ run.id }}"},
                "timeout": WEAVE_PATIENCE_MS,
                "on_timeout": "continue",
            },
        },
        {"key": "pause", "operation": "workflow.delay", "config": {"for": 100}},
        {
            "key": "go",
            "operation": "event.emit",
            "depends_on": ["pause"],
            "config": {"kind": "weave.go", "payload": {"run": "{{ run.id }}"}},
        },
    ],
}


@dataclass
class Shared:
    """What all clients of a test have in common."""

    ledger: Ledger
    rng: random.Random
    other: str = ""
    workflows: dict[str, str] = field(default_factory=dict)
    number: int = 0

    def next_number(self) -> int:
        """A number of its own for each thing that is asked for."""
        self.number += 1
        return self.number

    def payload(self, number: int) -> dict[str, Any]:
        """What a run is started with."""
        return {"number": number, "other": self.other}


async def save_workflows(client: Client, shared: Shared) -> None:
    """Make the workflows that the load triggers."""
    for definition in (PURE, NAP, EFFECTS, WEAVE):
        status, saved = await client.send("POST", "/v1/workflow-definitions", json=definition)
        assert status == 201, saved
        shared.workflows[str(definition["name"])] = saved["id"]


class Trigger:
    """Starts runs; every second time with an idempotency key, and then again until it is acknowledged."""

    def __init__(self, shared: Shared, workflow: str) -> None:
        self._shared = shared
        self._workflow = workflow
        self._unsure: list[int] = []
        self._known: list[tuple[int, str]] = []

    async def settle(self, client: Client) -> None:
        """After a crash: what was in doubt is sent again, and something acknowledged too."""
        while self._unsure:
            await self._send(client, self._unsure[0], once=True)
            self._unsure.pop(0)
        if self._known:
            number, run_id = self._shared.rng.choice(self._known)
            again = await self._send(client, number, once=True)
            assert again == run_id, f"key {number} made {run_id} first, then {again}"

    async def step(self, client: Client) -> None:
        number = self._shared.next_number()
        once = number % 2 == 0
        try:
            run_id = await self._send(client, number, once=once)
        except LostError:
            self._shared.ledger.note("run in doubt", number=number, once=once)
            if once:
                self._unsure.append(number)
            raise
        if once:
            self._known.append((number, run_id))

    async def _send(self, client: Client, number: int, *, once: bool) -> str:
        path = f"/api/private/trigger/{self._shared.workflows[self._workflow]}"
        headers = {"Idempotency-Key": f"once-{number}"} if once else {}
        status, data = await client.send("POST", path, json=self._shared.payload(number), headers=headers)
        assert status == 200, data
        run_id: str = data["runId"]
        self._shared.ledger.note("run", id=run_id, number=number, once=once, kind=self._workflow)
        return run_id


class Control:
    """Makes, starts and cancels runs on the control surface."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._unsure: list[int] = []
        self._open: list[str] = []

    async def settle(self, client: Client) -> None:
        """What was in doubt: made again, which gives the same run; shown, and started unless it is already."""
        while self._unsure:
            self._open.append(await self._create(client, self._unsure[0]))
            self._unsure.pop(0)
        while self._open:
            run_id = self._open[0]
            run = await client.get(f"/v1/workflow-runs/{run_id}")
            if run["status"] == "pending":
                await self._move(client, run_id, "start", (202,))
            self._open.pop(0)

    async def step(self, client: Client) -> None:
        number = self._shared.next_number()
        self._unsure.append(number)
        run_id = await self._create(client, number)
        self._unsure.remove(number)
        self._open.append(run_id)
        await self._move(client, run_id, "start", (202,))
        if self._shared.rng.random() < 0.5:
            await self._move(client, run_id, "cancel", (202, 409))
        self._open.remove(run_id)

    async def _create(self, client: Client, number: int) -> str:
        body = {
            "workflow_definition_id": self._shared.workflows["effects"],
            "context": self._shared.payload(number),
            "idempotency_key": f"control-{number}",
        }
        status, run = await client.send("POST", "/v1/workflow-runs", json=body)
        assert (status, run["status"]) == (201, "pending")
        run_id: str = run["id"]
        self._shared.ledger.note("run", id=run_id, number=number, once=True, kind="control")
        return run_id

    async def _move(self, client: Client, run_id: str, verb: str, expected: tuple[int, ...]) -> None:
        status, run = await client.send("POST", f"/v1/workflow-runs/{run_id}/{verb}")
        assert status in expected, run
        if status == 202:
            self._shared.ledger.note(verb, id=run_id)
            if verb == "cancel":
                assert run["status"] == "cancelled"


class Keys:
    """Makes keys, tries them, revokes them."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._live: list[tuple[str, str]] = []
        self._dead: list[str] = []
        self._unsure: list[int] = []

    async def settle(self, client: Client) -> None:
        """Every key that was acknowledged works, and every revoked one is refused."""
        for _id, raw in self._live[-3:]:
            assert await self._status(client, raw) == 200
        for raw in self._dead[-3:]:
            assert await self._status(client, raw) == 401
        while self._unsure:
            await self._create(client, self._unsure[0])
            self._unsure.pop(0)

    async def step(self, client: Client) -> None:
        number = self._shared.next_number()
        self._unsure.append(number)
        await self._create(client, number)
        self._unsure.remove(number)
        if len(self._live) < 2:
            return
        key_id, raw = self._live.pop(0)
        status, _key = await client.send("DELETE", f"/v1/api-keys/{key_id}")
        assert status == 200
        self._shared.ledger.note("revoke", id=key_id)
        self._dead.append(raw)
        assert await self._status(client, raw) == 401

    async def settle_all(self, client: Client) -> None:
        """At the end: each of them once more."""
        for _id, raw in self._live:
            assert await self._status(client, raw) == 200
        for raw in self._dead:
            assert await self._status(client, raw) == 401

    async def _create(self, client: Client, number: int) -> None:
        body = {"name": f"key {number}", "idempotency_key": f"key-{number}"}
        status, made = await client.send("POST", "/v1/api-keys", json=body)
        assert status == 201, made
        self._shared.ledger.note("key", id=made["id"], number=number)
        if made["key"] is not None:  # a repeat does not tell it again
            self._live.append((made["id"], made["key"]))

    async def _status(self, client: Client, raw: str) -> int:
        return (await client.send("GET", "/v1/me", key=raw))[0]


Tree = dict[str, str]


def content_of(rng: random.Random, worker: int, number: int) -> bytes:
    """A content that says itself what it has to be: a head with size and hash of the rest."""
    rest = rng.randbytes(rng.choice((0, 50, 3000, 70_000, 300_000)))
    head = {"worker": worker, "number": number, "size": len(rest), "sha256": hashlib.sha256(rest).hexdigest()}
    return json.dumps(head).encode() + b"\n" + rest


def check_whole(content: bytes) -> None:
    """Nothing of it is missing or of another content."""
    head, _, rest = content.partition(b"\n")
    told = json.loads(head)
    assert (told["size"], told["sha256"]) == (len(rest), hashlib.sha256(rest).hexdigest()), head


class Files:
    """Uploads, overwrites, renames, moves and deletes in a folder of its own.

    ``worlds`` is every tree that may be there now: one, or two while the last change is in doubt.
    """

    FOLDERS = ("a", "b")

    def __init__(self, shared: Shared, worker: int) -> None:
        self._shared = shared
        self._worker = worker
        self.root = f"w{worker}"
        self.worlds: list[Tree] = [{}]

    async def settle(self, client: Client) -> None:
        """After a crash: the tree is one of those that may be, and what was in doubt is whole."""
        found = await self.read_tree(client)
        assert found in self.worlds, f"{self.root}: {found} is none of {self.worlds}"
        if len(self.worlds) > 1:
            for path in found:
                if any(world.get(path) != found[path] for world in self.worlds):
                    await self.check_content(client, path, found[path])
        self.worlds = [found]

    async def settle_all(self, client: Client) -> None:
        """At the end: every content is downloaded."""
        await self.settle(client)
        for path, sha256 in self.worlds[0].items():
            await self.check_content(client, path, sha256)

    async def read_tree(self, client: Client) -> Tree:
        found: Tree = {}
        for folder in self.FOLDERS:
            status, listing = await client.send("GET", "/api/private/storage", params={"path": f"{self.root}/{folder}"})
            assert status in (200, 404)  # not made yet
            found.update({item["path"]: item["hash"] for item in (listing["items"] if status == 200 else [])})
        return found

    async def check_content(self, client: Client, path: str, sha256: str) -> None:
        content = await client.get("/api/private/storage/download", path=path)
        assert hashlib.sha256(content).hexdigest() == sha256, path
        check_whole(content)

    async def step(self, client: Client) -> None:
        world, rng = self.worlds[0], self._shared.rng
        doing = rng.choice((self._upload, self._upload, self._overwrite, self._rename, self._move, self._delete))
        if len(world) > 12:
            doing = self._delete
        elif not world:
            doing = self._upload
        await doing(client, sorted(world))

    async def _upload(self, client: Client, _paths: list[str]) -> None:
        number = self._shared.next_number()
        await self._put(client, f"{self.root}/{self._shared.rng.choice(self.FOLDERS)}/f{number}", number)

    async def _overwrite(self, client: Client, paths: list[str]) -> None:
        await self._put(client, self._shared.rng.choice(paths), self._shared.next_number())

    async def _put(self, client: Client, path: str, number: int) -> None:
        content = content_of(self._shared.rng, self._worker, number)
        folder, _, name = path.rpartition("/")
        form = aiohttp.FormData()
        form.add_field("path", folder)
        form.add_field("file", content, filename=name, content_type="application/octet-stream")
        sha256 = hashlib.sha256(content).hexdigest()
        await self._change(client, "upload", path, lambda tree: {**tree, path: sha256}, "POST", "/upload", data=form)

    async def _rename(self, client: Client, paths: list[str]) -> None:
        path, name = self._shared.rng.choice(paths), f"r{self._shared.next_number()}"
        new = f"{path.rpartition('/')[0]}/{name}"
        body = {"path": path, "new_name": name}
        await self._change(client, "rename", path, lambda tree: _moved(tree, path, new), "POST", "/rename", json=body)

    async def _move(self, client: Client, paths: list[str]) -> None:
        path = self._shared.rng.choice(paths)
        root, folder, name = path.split("/")
        other = f"{root}/{self.FOLDERS[folder == self.FOLDERS[0]]}"
        if await self._has_no_folder(client, other):
            return
        body = {"source_path": path, "dest_path": other}
        await self._change(
            client, "move", path, lambda tree: _moved(tree, path, f"{other}/{name}"), "POST", "/move", json=body
        )

    async def _has_no_folder(self, client: Client, path: str) -> bool:
        return (await client.send("GET", "/api/private/storage", params={"path": path}))[0] == 404

    async def _delete(self, client: Client, paths: list[str]) -> None:
        path = self._shared.rng.choice(paths)

        def without(tree: Tree) -> Tree:
            return {name: sha256 for name, sha256 in tree.items() if name != path}

        await self._change(client, "delete", path, without, "DELETE", "/file", params={"path": path})

    async def _change(
        self,
        client: Client,
        what: str,
        where: str,
        apply: Callable[[Tree], Tree],
        method: str,
        route: str,
        **body: Any,
    ) -> None:
        before = self.worlds[0]
        after = apply(before)
        self.worlds = [before, after]
        status, data = await client.send(method, f"/api/private/storage{route}", **body)
        assert status == 200, f"{what} {where}: {status} {data}"
        self.worlds = [after]
        self._shared.ledger.note(what, path=where)


def _moved(tree: Tree, old: str, new: str) -> Tree:
    return {(new if path == old else path): sha256 for path, sha256 in tree.items()}


class Listener:
    """Reads the event stream over all lives: every event once, in order, and none that did not happen."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.ended: set[str] = set()
        self.news = asyncio.Event()

    async def listen(self, client: Client) -> None:
        """Until the daemon goes away."""
        async for event in client.events(self.heard[-1] if self.heard else 0):
            number = int(event["id"])
            assert not self.heard or number > self.heard[-1], f"event {number} after {self.heard[-1]}"
            self.heard.append(number)
            if event["kind"] in ("workflow.run.completed", "workflow.run.failed", "workflow.run.cancelled"):
                self.ended.add(event["run_id"])
            self.news.set()


class Load:
    """All clients together."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.keys = Keys(shared)
        self.files = [Files(shared, worker) for worker in range(2)]
        self.listener = Listener()
        self.triggers = [Trigger(shared, "pure"), Trigger(shared, "effects"), Trigger(shared, "weave")]
        self.workers = [*self.triggers, Control(shared), self.keys, *self.files]

    async def live(self, client: Client) -> None:
        """Work until the daemon is gone. Raises what a client found wrong."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.listener.listen(client))
            for worker in self.workers:
                group.create_task(self._work(worker, client))

    async def _work(self, worker: Any, client: Client) -> None:
        try:
            await worker.settle(client)
            while True:
                await worker.step(client)
        except LostError:
            return

    async def settle(self, client: Client) -> None:
        """After the last start: everything in doubt is settled."""
        for worker in self.workers:
            await worker.settle(client)
        for worker in (self.keys, *self.files):
            await worker.settle_all(client)
