"""Every route that changes something leaves one row, named as the route declares; and nothing secret in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from alloyd.domain.audit.model import Entry
from alloyd.domain.audit.store import list_chain
from alloyd.domain.audit.verification import verify_file
from alloyd.kit.ids import new_id
from alloyd.wire.auditing import action_of, changes_something
from alloyd.wire.surface import BoundRoute
from tests.app import Served, open_app
from tests.people import PASSWORD, sign_in
from tests.wire.embedded.recipes import RECIPES as EMBEDDED
from tests.wire.recipes import ELSEWHERE, NOOP, RECIPES, Kitchen, Order
from tests.wire.ui.recipes import RECIPES as PAGE


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        await served.app.listen_socket()
        yield served


def mutating(served: Served) -> dict[str, BoundRoute]:
    """Every route that changes something, by method and path: the network's, and the operator's own. What the page
    calls by doors of its own are the same routes again."""
    both = [*served.app.server.bound_routes(), *served.app.socket_server.bound_routes()]
    found = [bound for bound in both if bound.surface.name not in ("page", "page-private")]
    return {f"{bound.route.method} {bound.path}": bound for bound in found if changes_something(bound)}


async def rows(served: Served, after: int = 0) -> list[Entry]:
    return [Entry(*row) for row in await served.app.database.read(lambda conn: list_chain(conn, after, 10_000))]


async def send(served: Served, method: str, order: Order) -> tuple[int, str]:
    """Status and text of an order's answer; the operator's go to the socket."""
    headers = dict(order.headers)
    if order.key is not None:
        raw = await served.key(order.key)
        private = order.path.startswith(("/api/private", "/api/teammates"))
        headers |= {"api-key": raw} if private else {"Authorization": f"Bearer {raw}"}
    options: dict[str, Any] = {"headers": headers}
    if order.form is not None:
        data = aiohttp.FormData({"path": order.form["path"]})
        data.add_field("file", order.body, filename=order.form["name"], content_type="text/plain")
        options["data"] = data
    elif isinstance(order.body, bytes):
        options["data"] = order.body
    elif order.body is not None:
        options |= {"data": msgspec.json.encode(order.body), "headers": {**headers, "Content-Type": "application/json"}}
    if not order.path.startswith("/operator"):
        async with served.session.request(method, served.url + order.path, **options) as response:
            return response.status, await response.text()
    connector = aiohttp.UnixConnector(str(served.app.data_dir.socket))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(method, f"http://alloyd{order.path}", **options) as response,
    ):
        return response.status, await response.text()


async def test_every_route_that_changes_something_leaves_one_row(served: Served) -> None:
    routes, kitchen, wrong = mutating(served), Kitchen(served), []
    recipes = RECIPES | EMBEDDED | PAGE
    for name in sorted(routes.keys() - ELSEWHERE.keys() - recipes.keys()):
        wrong.append(f"{name}: has no recipe in tests/wire/recipes.py")
    for name, recipe in recipes.items():
        if name not in routes:
            wrong.append(f"{name}: there is no such route")
            continue
        order = await recipe(kitchen)
        before = (await rows(served))[-1].seq
        status, text = await send(served, name.partition(" ")[0], order)
        left = [row for row in await rows(served, before) if row.actor_kind != "system"]
        found = [(row.action, row.route, row.outcome) for row in left]
        if status >= 300:
            wrong.append(f"{name}: {status} {text[:300]}")
        elif found != [(action_of(routes[name]), name, "ok")]:
            wrong.append(f"{name}: left {found}")
        elif not left[0].target.partition(":")[2] or left[0].address not in ("127.0.0.1", "local"):
            wrong.append(f"{name}: {left[0]}")
    assert not wrong, "\n".join(wrong)
    assert verify_file(served.app.database.path).reason is None


async def test_what_changes_nothing_leaves_no_row(served: Served) -> None:
    key = await served.data("POST", "/api-keys", {"name": "one", "idempotency_key": "k1"}, status=201)
    before = await rows(served)
    requests: list[tuple[str, str, Any, int]] = [
        ("POST", "/api-keys", {"name": "one", "idempotency_key": "k1"}, 201),  # a repeat
        ("GET", "/api-keys", None, 200),
        ("POST", "/api-keys", {"name": 7}, 400),
        ("POST", "/api-keys", {"name": "x", "idempotency_key": ""}, 400),
        ("POST", f"/api-keys/{new_id()}/disable", {}, 404),
        ("POST", "/teams", {"slug": "Not a slug", "name": "x"}, 400),
        ("POST", "/authz/check", {"action": "team.create", "resource": "team:1"}, 200),
        ("POST", "/auth/stream-ticket", {}, 201),
    ]
    for method, path, body, expected in requests:
        status, envelope, _headers = await served.ask(method, path, body)
        assert status in (expected, 200), envelope
    assert await served.app.audit.write_refusals() == 0
    assert await rows(served) == before
    assert before[-1].target == f"api_key:{key['id']}"
    await served.data("DELETE", f"/api-keys/{key['id']}")
    await served.data("DELETE", f"/api-keys/{key['id']}")  # is revoked already
    assert len(await rows(served)) == len(before) + 1


async def test_row_names_the_fields_that_were_given(served: Served) -> None:
    body = {"name": "n", "description": "d", "organization_id": None, "idempotency_key": "k", "unknown": 1}
    await served.data("POST", "/api-keys", body, status=201)
    workflow = await served.publish(NOOP)
    await served.trigger(workflow, b'{"payload": "of the user"}')
    assert [row.changed for row in (await rows(served))[-2:]] == ['["name","description"]', "[]"]


async def test_row_belongs_to_the_organization_that_was_changed(served: Served) -> None:
    person = await sign_in(served, "ann", "acme admin", "other admin")
    for slug in ("other", "acme"):
        body = {"slug": "team", "name": "T", "organization_id": served.orgs[slug]}
        await served.data("POST", "/teams", body, status=201, key="ann")
    found = [(row.org_id, row.actor_kind, row.actor_id) for row in (await rows(served))[-2:]]
    assert found == [(served.orgs[slug], "user", person.id) for slug in ("other", "acme")]


@pytest.mark.parametrize(("trusted", "address"), [((), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.9")])
async def test_address_is_what_a_trusted_proxy_tells(served: Served, trusted: tuple[str, ...], address: str) -> None:
    served.app.server.trust_proxies(trusted)
    request_id = new_id()
    headers = {"X-Forwarded-For": "203.0.113.9", "X-Request-Id": request_id}
    await served.data("POST", "/api-keys", {"name": "n"}, status=201, headers=headers)
    last = (await rows(served))[-1]
    assert (last.address, last.request_id) == (address, request_id)


# -- refusals ------------------------------------------------------------------------------------------------


async def refusals(served: Served) -> list[Entry]:
    await served.app.audit.write_refusals()
    return [row for row in await rows(served) if row.outcome != "ok"]


async def test_refusals_are_on_record(served: Served) -> None:
    run = await Kitchen(served).run()
    await served.ask("GET", "/api-keys", key=None)
    await served.ask("POST", f"/workflow-runs/{run}/cancel", {}, key="acme viewer")
    await served.ask("GET", "/audit-logs")
    await served.ask("POST", "/auth/token", {"email": "no@example.com", "password": "not the password"}, key=None)
    await served.ask("GET", "/nowhere", key=None)
    found = [
        (row.outcome, row.status, row.action, row.target, row.org_id, row.actor_kind) for row in await refusals(served)
    ]
    acme = served.orgs["acme"]
    assert found == [
        ("refused", 401, "api_key.read", "", "", "anonymous"),
        ("refused", 403, "run.cancel", f"run:{run}", acme, "api_key"),
        ("refused", 403, "control GET /audit-logs", "", acme, "api_key"),
        ("failed", 401, "auth.sign_in", "", "", "anonymous"),
    ]


async def test_throttled_sign_ins_are_on_record(served: Served) -> None:
    status = 401
    while status == 401:
        body = {"email": "no@example.com", "password": "not the password"}
        status, _envelope, _headers = await served.ask("POST", "/auth/token", body, key=None)
    assert status == 429
    assert {(row.outcome, row.status) for row in await refusals(served)} == {("failed", 401), ("refused", 429)}


async def test_nobody_fills_the_disk_with_refusals(served: Served) -> None:
    await served.key("acme")
    for _ in range(200):
        await served.ask("GET", "/api-keys", key=None)
    assert len(await refusals(served)) == 30
    served.clock.advance(60_000)
    last = (await refusals(served))[-1]
    assert (last.action, last.count, last.address) == ("audit.suppress", 170, "127.0.0.1")


async def test_an_end_in_between_writes_what_waits(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        await served.ask("GET", "/api-keys", key=None)
        database = served.app.database.path
    verdict = verify_file(database)
    assert (verdict.checked, verdict.reason) == (3, None)  # the first start leaves two


# -- secrets -------------------------------------------------------------------------------------------------


async def test_no_secret_is_ever_in_a_row(served: Served) -> None:
    canary = "canary-4f1c6e0b9a"
    workflow = await served.publish(NOOP)
    raw = await served.key("acme")
    await sign_in(served, "ann", "acme admin")
    sign_in_body = {"email": "ann@example.com", "password": PASSWORD}
    token = (await served.data("POST", "/auth/token", sign_in_body, key=None))["access_token"]
    made = await served.data("POST", "/api-keys", {"name": "fresh"}, status=201)
    await served.trigger(workflow, msgspec.json.encode({canary: canary}))
    hook = {"url": f"https://{canary}@hooks.example.com/{canary}", "events": ["team.*"], "secret": canary * 3}
    await served.ask("POST", "/webhooks", hook)
    await served.ask("POST", "/auth/token", {"email": f"{canary}@example.com", "password": canary}, key=None)
    await served.ask("GET", f"/api-keys?cursor={canary}", key=None, headers={"Authorization": f"Bearer {canary}"})
    await served.ask("DELETE", f"/api-keys/{canary}", key=None)
    await served.ask("GET", f"/events/stream?ticket={canary}", key=None)
    await served.app.audit.write_refusals()
    text = repr(await rows(served))
    for secret in (canary, PASSWORD, raw, raw[-43:], token, made["key"]):
        assert secret not in text
