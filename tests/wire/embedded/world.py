"""The whole program with two companies, and a client of the embedded API that holds every answer to the contract."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from yarl import URL

from alloyd.config import EmbeddedConfig
from alloyd.domain.keys.model import CreateKey
from alloyd.principal import SCOPES, Kind, Principal, Role, system_principal
from tests.app import Served, open_app
from tests.wire.embedded import contract

PREFIX = "/2025-09"
ORIGIN = "https://app.example.com"

NOOP = {"key": "a", "operation": "workflow.noop"}
FAIL = {"key": "a", "operation": "transform", "config": {"values": {"x": "{{ trigger.missing }}"}}}
WAIT = {"key": "a", "operation": "workflow.wait_event", "config": {"event": "go"}}

# Which operation of the document a request is, and what checks the answer.
_OPERATIONS = [
    (operation.method, re.compile(re.sub(r"\{\w+\}", "[^/]+", operation.path) + r"\Z"), operation)
    for operation in sorted(contract.operations(), key=lambda operation: "{" in operation.path)
]
_ERROR = contract.validator("#/components/schemas/ErrorResponse")
_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    413: "TOO_LARGE",
    429: "RATE_LIMITED",
    500: "INTERNAL_ERROR",
    503: "INTERNAL_ERROR",
}


@dataclass
class Answer:
    """An answer that holds to the contract."""

    status: int
    body: Any
    headers: Any


@dataclass
class Room:
    """A running program. Companies are ``acme`` and ``other``; their keys have the scope ``embedded``."""

    served: Served
    keys: dict[str, str] = field(default_factory=dict)

    async def key(self, name: str = "acme", *scopes: str) -> str:
        """A key of an organization; an owner's unless its name says a role: ``acme viewer``."""
        whole = " ".join([name, *scopes])
        if whole not in self.keys:
            slug, _, role = name.partition(" ")
            await self.served.key(slug)  # makes the organization
            issued = await self.served.app.keys.create(
                self.operator(slug), CreateKey(whole, scopes or ("embedded",), Role(role or "owner"))
            )
            assert issued.raw is not None
            self.keys[whole] = issued.raw
        return self.keys[whole]

    def operator(self, slug: str) -> Principal:
        return Principal(Kind.OPERATOR, "operator", self.served.orgs[slug], Role.OWNER, SCOPES)

    async def ask(self, method: str, path: str, body: Any = None, key: str | None = "acme", **options: Any) -> Answer:
        """A request below the prefix, whose answer is checked: by its schema if the document has the operation."""
        headers = {} if key is None else {"Authorization": f"Bearer {await self.key(key)}"}
        headers.update(options.pop("headers", {}))
        prefix = options.pop("prefix", PREFIX)
        if body is not None and not isinstance(body, bytes):
            body, headers = msgspec.json.encode(body), {"Content-Type": "application/json", **headers}
        url = URL(f"{self.served.url}{prefix}{path}", encoded=True)
        async with self.served.session.request(
            method,
            url,
            data=None if body is None else io.BytesIO(body),
            headers=headers,
            skip_auto_headers=["Content-Type"],
            **options,
        ) as response:
            data = await response.read()
            assert response.headers["X-Request-Id"]
            answer = Answer(response.status, msgspec.json.decode(data) if data else None, response.headers)
            if response.status != 204 and method != "HEAD":
                assert response.headers["Content-Type"] == "application/json"
        if method not in ("HEAD", "OPTIONS"):
            check(method, path, answer, current=prefix == PREFIX)
        return answer

    async def good(self, method: str, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        """The body of an answer that must have ``status``."""
        answer = await self.ask(method, path, body, **options)
        assert answer.status == status, answer
        return answer.body

    async def user(self, username: str = "user-123", key: str = "acme", **more: Any) -> str:
        """A new end user's id."""
        made = await self.good("POST", "/users", {"username": username, **more}, status=201, key=key)
        return str(made["userId"])

    async def token(self, user: str, key: str = "acme") -> str:
        """A token for an end user's browser."""
        return str((await self.good("GET", f"/users/{user}/token", key=key))["token"])

    async def workflow(
        self, name: str = "flow", slug: str = "acme", event: str = "order.created", *nodes: dict[str, Any]
    ) -> str:
        """A workflow that ``event`` starts, released as 1.0.0."""
        await self.served.key(slug)
        workflow = await self.served.publish(
            *(nodes or (NOOP,)), slug=slug, name=name, trigger={"type": "event", "event": event}
        )
        await self.release(workflow, "1.0.0", slug)
        return workflow

    async def release(self, workflow: str, label: str, slug: str = "acme") -> None:
        """Name the newest version of a workflow."""
        await self.served.app.releases.release(self.operator(slug), workflow, label, None)

    async def ended(self, user: str) -> None:
        """Wait until all runs of an end user have ended."""
        app = self.served.app
        rows = await app.database.read(
            lambda conn: conn.execute("SELECT org_id, id FROM runs WHERE end_user_id = ?", (user,)).fetchall()
        )
        for org_id, run_id in rows:
            assert await app.runs.wait(system_principal(org_id), run_id, 30) is not None

    async def publish_again(self, name: str, slug: str = "acme", event: str = "order.created") -> None:
        """One more version of the workflow of that name."""
        await self.served.publish({**NOOP, "key": "b"}, slug=slug, name=name, trigger={"type": "event", "event": event})

    async def integration(self, slug: str = "shopify", org: str = "acme", *workflows: str, **more: Any) -> str:
        """An integration with workflows in it; its id."""
        await self.served.key(org)
        who, integrations = self.operator(org), self.served.app.integrations
        made = await integrations.create(who, slug, more.pop("name", slug.title()), **more)
        for workflow in workflows:
            await integrations.add_workflow(who, made.id, workflow)
        return made.id


def check(method: str, path: str, answer: Answer, *, current: bool) -> None:
    """An error has the contract's code and a message; an operation of the document answers by its schema."""
    assert answer.status != 422, answer
    if answer.status >= 400:
        _ERROR.validate(answer.body)
        assert answer.body["error"] == _CODES[answer.status], answer
        assert answer.body["message"], answer
    if not current:
        return
    bare = re.sub("/{2,}", "/", path.partition("?")[0]).rstrip("/")
    for known, pattern, operation in _OPERATIONS:
        if known == method and pattern.match(bare):
            operation.validator(answer.status).validate(answer.body)
            if answer.status < 400:
                assert answer.status == operation.good
            elif answer.status not in (403, 405, 409, 413, 429):
                assert answer.status in operation.statuses, (operation.id, answer)
            return


@asynccontextmanager
async def open_room(directory: Path) -> AsyncIterator[Room]:
    """The program over ``directory``; pages of :data:`ORIGIN` may call it."""
    async with open_app(directory, embedded=EmbeddedConfig(allowed_origins=(ORIGIN,))) as served:
        room = Room(served)
        await room.key()
        yield room
