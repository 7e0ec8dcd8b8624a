"""`/v1/end-users`, `/v1/integrations` and `/v1/installations` over the whole program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from alloyd.domain.integrations import model, service
from alloyd.kit.ids import new_id
from tests.app import Served, open_app
from tests.people import sign_in

NOOP = {"key": "a", "operation": "workflow.noop"}
OTHER = {"key": "b", "operation": "workflow.noop"}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as opened:
        yield opened


async def make_user(served: Served, username: str = "ann@example.com", key: str = "acme", **more: Any) -> Any:
    return await served.data("POST", "/end-users", {"username": username, **more}, 201, key=key)


async def make_integration(served: Served, slug: str = "shopify", key: str = "acme", **more: Any) -> Any:
    return await served.data("POST", "/integrations", {"slug": slug, "name": slug.title(), **more}, 201, key=key)


async def install(served: Served, user: str, workflow: str, status: int = 201, **more: Any) -> Any:
    return await served.data("POST", "/installations", {"end_user_id": user, "workflow_id": workflow, **more}, status)


async def release(served: Served, workflow: str, label: str, version: int | None = None) -> None:
    body = {"release": label} if version is None else {"release": label, "version": version}
    await served.data("POST", f"/workflow-definitions/{workflow}/releases", body, 201)


async def kinds_of(served: Served, *stems: str) -> list[str]:
    return [kind for kind in await served.kinds() if kind.startswith(stems)]


# -- end users -------------------------------------------------------------------------------------------------------


async def test_an_end_user_is_made_shown_changed_and_deleted(served: Served) -> None:
    made = await make_user(served, full_name="Ann Smith")
    assert made["id"].startswith("usr_")
    assert (made["username"], made["full_name"], made["organization_id"]) == (
        "ann@example.com",
        "Ann Smith",
        served.orgs["acme"],
    )
    path = f"/end-users/{made['id']}"
    assert await served.data("GET", path, key="acme viewer") == made
    served.clock.advance(1000)
    renamed = await served.data("PATCH", path, {"username": "ann", "full_name": None})
    assert (renamed["username"], renamed["full_name"], renamed["created_at"]) == ("ann", None, made["created_at"])
    assert (await served.data("PATCH", path, {"full_name": "A"}))["username"] == "ann"
    await served.data("PATCH", path, {}, 400)
    assert (await served.data("DELETE", path))["id"] == made["id"]
    await served.data("GET", path, status=404)
    assert await served.data("GET", "/end-users") == []
    assert await kinds_of(served, "end_user.") == [
        "end_user.created",
        "end_user.updated",
        "end_user.updated",
        "end_user.deleted",
    ]


async def test_a_deleted_user_leaves_no_name_behind(served: Served) -> None:
    made = await make_user(served, full_name="Ann Smith")
    await served.data("DELETE", f"/end-users/{made['id']}")

    def dump(conn: Any) -> str:
        return "\n".join(conn.iterdump())

    told = await served.app.database.read(dump)
    assert made["id"] in told
    assert "ann@example.com" not in told
    assert "Ann Smith" not in told
    assert (await make_user(served))["id"] != made["id"]  # the name is free again


BAD_USERS: list[tuple[dict[str, Any], str]] = [
    ({}, "username"),
    ({"username": ""}, "username"),
    ({"username": "x" * 256}, "username"),
    ({"username": "a\nb"}, "username"),
    ({"username": 1}, "username"),
    ({"username": "usr_" + "0" * 32}, "username"),
    ({"username": "a", "full_name": "x" * 256}, "full_name"),
    ({"username": "a", "full_name": "a\0b"}, "full_name"),
]


async def test_bad_end_users_are_refused(served: Served) -> None:
    for body, field in BAD_USERS:
        status, envelope, _ = await served.ask("POST", "/end-users", body)
        assert (status, envelope["error"]["details"]) == (400, {"field": field}), body
    assert await served.data("GET", "/end-users") == []


async def test_a_username_is_unique_within_the_organization(served: Served) -> None:
    await make_user(served)
    status, envelope, _ = await served.ask("POST", "/end-users", {"username": "ann@example.com"})
    assert (status, envelope["error"]["details"]) == (400, {"field": "username"})
    await make_user(served, key="other")
    second = await make_user(served, "Ann@example.com")  # another name: who writes it otherwise is another
    assert (await served.ask("PATCH", f"/end-users/{second['id']}", {"username": "ann@example.com"}))[0] == 400


async def test_end_users_are_listed_newest_first_and_by_name(served: Served) -> None:
    names = [f"user {n}" for n in range(5)]
    for name in names:
        await make_user(served, name)
    await make_user(served, "theirs", "other")
    first = await served.ask("GET", "/end-users?limit=3")
    got = [user["username"] for user in first[1]["data"]]
    second = await served.ask("GET", first[1]["links"]["next"].removeprefix("/v1"))
    assert got + [user["username"] for user in second[1]["data"]] == names[::-1]
    assert "next" not in second[1]["links"]
    (one,) = await served.data("GET", f"/end-users?username={quote('user 2')}")
    assert one["username"] == "user 2"
    assert await served.data("GET", "/end-users?username=theirs") == []
    assert await served.data("GET", f"/end-users?username={one['id']}") == []


async def test_by_path_an_end_user_goes_by_the_id_alone(served: Served) -> None:
    """A grant that is narrowed to one user names the id: a username in the path would get around it."""
    await make_user(served, "ann")
    for method in ("GET", "DELETE"):
        await served.data(method, "/end-users/ann", status=404)


# -- integrations ----------------------------------------------------------------------------------------------------


async def test_an_integration_is_made_shown_changed_and_deleted(served: Served) -> None:
    made = await make_integration(
        served, category="E-Commerce", icon_url="https://assets.example.com/s.png", description="Shops"
    )
    assert (made["id"], made["slug"], made["category"]) == ("int_shopify", "shopify", "E-Commerce")
    path = "/integrations/int_shopify"
    assert await served.data("GET", path, key="acme viewer") == made
    changed = await served.data("PATCH", path, {"name": "Shop", "category": None, "description": ""})
    assert (changed["name"], changed["category"], changed["description"]) == ("Shop", None, None)
    assert changed["icon_url"] == made["icon_url"]
    await served.data("PATCH", path, {}, 400)
    assert await served.data("DELETE", path) == changed
    for gone in (path, "/integrations/shopify", "/integrations/int_"):
        await served.data("GET", gone, status=404)
    assert await kinds_of(served, "integration.") == [
        "integration.created",
        "integration.updated",
        "integration.deleted",
    ]


BAD_INTEGRATIONS: list[tuple[dict[str, Any], str]] = [
    ({"name": "x"}, "slug"),
    ({"slug": "core"}, "name"),
    ({"slug": "No Slug", "name": "x"}, "slug"),
    ({"slug": "core", "name": ""}, "name"),
    ({"slug": "core", "name": "x", "category": "x" * 101}, "category"),
    ({"slug": "core", "name": "x", "description": "a\nb"}, "description"),
    *(
        ({"slug": "core", "name": "x", "icon_url": url}, "icon_url")
        for url in ("x", "javascript:alert(1)", "https://", "https://[", "https://a.b/ c", "https://a.b/" + "x" * 2000)
    ),
]


async def test_bad_integrations_are_refused(served: Served) -> None:
    for body, field in BAD_INTEGRATIONS:
        status, envelope, _ = await served.ask("POST", "/integrations", body)
        assert (status, envelope["error"]["details"]) == (400, {"field": field}), body
    await make_integration(served)
    for body, field in BAD_INTEGRATIONS[3:]:
        changed = {name: value for name, value in body.items() if name != "slug"}
        status, envelope, _ = await served.ask("PATCH", "/integrations/int_shopify", changed)
        assert (status, envelope["error"]["details"]) == (400, {"field": field}), body


async def test_a_slug_is_unique_within_the_organization(served: Served) -> None:
    await make_integration(served)
    assert (await served.ask("POST", "/integrations", {"slug": "shopify", "name": "x"}))[0] == 409
    theirs = await make_integration(served, key="other", category="theirs")
    assert (await served.data("GET", "/integrations/int_shopify"))["category"] is None
    assert await served.data("GET", "/integrations/int_shopify", key="other") == theirs


async def test_a_user_of_several_organizations_acts_in_the_tokens_where_both_have_the_slug(served: Served) -> None:
    await make_integration(served)
    await make_integration(served, key="other")
    await make_integration(served, "slack", key="other")
    person = await sign_in(served, "pat", "acme admin", "other admin")

    async def owner_of(path: str) -> str:
        return str((await served.data("GET", path, key=person.name))["organization_id"])

    assert await owner_of("/integrations/int_slack") == served.orgs["other"]
    assert await owner_of("/integrations/int_shopify") == served.orgs["acme"]


async def test_workflows_come_into_an_integration_and_go(served: Served) -> None:
    await make_integration(served)
    one, two = [await served.publish(NOOP, name=name) for name in ("one", "two")]
    path = "/integrations/int_shopify/workflows"
    added = await served.data("POST", path, {"workflow_id": one}, 201)
    assert (added["workflow_id"], added["name"], added["integration_id"]) == (one, "one", "int_shopify")
    await served.data("POST", path, {"workflow_id": "two"}, 201)
    assert await served.data("POST", path, {"workflow_id": one}, 201) == added
    assert [each["workflow_id"] for each in await served.data("GET", path)] == [two, one]
    assert [each["workflow_id"] for each in await served.data("GET", f"{path}?limit=1")] == [two]
    theirs = await served.publish(NOOP, slug="other")
    for unknown in (theirs, new_id(), "nowhere"):
        await served.data("POST", path, {"workflow_id": unknown}, 404)
        await served.data("DELETE", f"{path}/{unknown}", status=404)
    await served.data("DELETE", f"{path}/{one}")
    await served.data("DELETE", f"{path}/{one}", status=404)
    await served.data("DELETE", f"/workflow-definitions/{two}")
    assert await served.data("GET", path) == []
    for method in ("GET", "POST"):
        body = {"workflow_id": one} if method == "POST" else None
        await served.data(method, "/integrations/int_none/workflows", body, 404)
    assert await kinds_of(served, "integration.workflow") == [
        "integration.workflow_added",
        "integration.workflow_added",
        "integration.workflow_removed",
    ]


async def test_a_repeat_does_not_bring_back_what_was_taken_out(served: Served) -> None:
    await make_integration(served)
    workflow = await served.publish(NOOP)
    path, body = "/integrations/int_shopify/workflows", {"workflow_id": workflow, "idempotency_key": "k"}
    await served.data("POST", path, body, 201)
    await served.data("DELETE", f"{path}/{workflow}")
    await served.data("POST", path, body, 404)
    assert await served.data("GET", path) == []


async def test_numbers_are_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "INTEGRATIONS_PER_ORG_MAX", 1)
    monkeypatch.setattr(service, "WORKFLOWS_PER_INTEGRATION_MAX", 1)
    await make_integration(served)
    assert (await served.ask("POST", "/integrations", {"slug": "more", "name": "x"}))[0] == 409
    one, two = [await served.publish(NOOP, name=name) for name in ("one", "two")]
    for workflow, status in ((one, 201), (one, 201), (two, 409)):
        await served.data("POST", "/integrations/int_shopify/workflows", {"workflow_id": workflow}, status)


# -- installations ---------------------------------------------------------------------------------------------------


async def test_a_workflow_is_installed_shown_switched_and_removed(served: Served) -> None:
    user = await make_user(served)
    workflow = await served.publish(NOOP, trigger={"type": "event", "event": "order.created"})
    made = await install(served, "ann@example.com", "flow", configuration={"n": [1]})
    assert {name: made[name] for name in ("end_user_id", "workflow_id", "release", "version", "event", "active")} == {
        "end_user_id": user["id"],
        "workflow_id": workflow,
        "release": "1.0.0",
        "version": 1,
        "event": "order.created",
        "active": True,
    }
    path = f"/installations/{made['id']}"
    assert await served.data("GET", path, key="acme viewer") == made
    await install(served, user["id"], workflow, 409)
    assert (await served.data("PATCH", path, {"active": False}))["active"] is False
    assert (await served.data("PATCH", path, {"active": False}))["active"] is False
    changed = await served.data("PATCH", path, {"active": True, "configuration": {"n": 2}, "version": "1.0.0"})
    assert (changed["active"], changed["configuration"]) == (True, {"n": 2})
    await served.data("PATCH", path, {}, 400)
    assert await served.data("DELETE", path) == changed
    await served.data("GET", path, status=404)
    assert await kinds_of(served, "installation.") == [
        "installation.created",
        "installation.deactivated",
        "installation.configured",
        "installation.activated",
        "installation.removed",
    ]


async def test_what_can_not_be_installed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    user = (await make_user(served))["id"]
    workflow = await served.publish(NOOP)
    draft = await served.data("POST", "/workflow-definitions", {"name": "draft", "type": "structured"}, 201)
    theirs = await served.publish(NOOP, slug="other")
    their_user = (await make_user(served, "theirs", "other"))["id"]
    for owner, flow in ((user, draft["id"]), (user, theirs), (user, "nowhere"), (their_user, workflow), ("", workflow)):
        await install(served, owner, flow, 404)
    await install(served, user, workflow, 400, version="2.0.0")
    monkeypatch.setattr(model, "CONFIGURATION_BYTES_MAX", 10)
    await install(served, user, workflow, 413, configuration={"a": "x" * 10})
    made = await install(served, user, workflow, configuration={"a": 1})
    await served.data("PATCH", f"/installations/{made['id']}", {"configuration": {"a": "x" * 10}}, 413)
    assert await served.data("GET", f"/installations/{made['id']}") == made


async def test_an_installation_keeps_its_version_until_it_is_upgraded(served: Served) -> None:
    user = (await make_user(served))["id"]
    workflow = await served.publish(NOOP, trigger={"type": "event", "event": "a.b"})
    await release(served, workflow, "1.0.0")
    made = await install(served, user, workflow, configuration={"n": 1}, active=False)
    await served.publish(NOOP, OTHER, trigger={"type": "event", "event": "c.d"})
    path = f"/installations/{made['id']}"
    assert await served.data("GET", path) == made
    await release(served, workflow, "2.0.0")
    await release(served, workflow, "beta")
    for label in ("beta", "3.0.0", "x"):
        status, envelope, _ = await served.ask("PATCH", path, {"version": label, "active": True})
        assert (status, envelope["error"]["details"]) == (400, {"field": "version"})
    assert await served.data("GET", path) == made | {"newest_release": "2.0.0"}  # nothing of a refused change
    moved = await served.data("PATCH", path, {"version": "2.0.0"})
    assert (moved["release"], moved["version"], moved["event"]) == ("2.0.0", 2, "c.d")
    assert (moved["configuration"], moved["active"]) == ({"n": 1}, False)
    assert (moved["username"], moved["newest_release"]) == ("ann@example.com", "2.0.0")
    assert (await served.ask("PATCH", path, {"version": "1.0.0"}))[0] == 400
    assert await served.data("PATCH", path, {"version": "2.0.0"}) == moved
    assert await served.data("PATCH", path, {"version": "latest"}) == moved
    await served.publish(OTHER)
    await release(served, workflow, "10.0")
    newest = await served.data("PATCH", path, {"version": "latest"})
    assert (newest["release"], newest["version"], newest["event"]) == ("10.0", 3, None)
    await release(served, workflow, "2.0.1", 2)
    assert await served.data("PATCH", path, {"version": "latest"}) == newest
    second = (await make_user(served, "bea"))["id"]
    assert (await install(served, second, workflow, version="2.0.0"))["release"] == "2.0.0"
    third = (await make_user(served, "cid"))["id"]
    assert (await install(served, third, workflow, version="1.0.0"))["version"] == 1


async def test_installations_are_listed_by_user_and_workflow(served: Served) -> None:
    users = [(await make_user(served, name))["id"] for name in ("ann", "bea")]
    flows = [await served.publish(NOOP, name=name) for name in ("one", "two")]
    made = [(await install(served, user, flow))["id"] for user in users for flow in flows]

    async def listed(query: str, key: str = "acme") -> list[int]:
        return [made.index(one["id"]) for one in await served.data("GET", f"/installations?{query}", key=key)]

    assert await listed("") == [3, 2, 1, 0]
    assert await listed("limit=2") == [3, 2]
    assert await listed(f"end_user_id={users[0]}") == await listed("end_user_id=ann") == [1, 0]
    assert await listed(f"workflow_id={flows[0]}") == await listed("workflow_id=one") == [2, 0]
    assert await listed(f"workflow_id={flows[0]}&end_user_id=bea") == [2]
    for query in ("end_user_id=nobody", "workflow_id=none", "end_user_id=ann&workflow_id=none", "end_user_id="):
        assert await listed(query) == []
    assert await listed(f"end_user_id={users[0]}", "other") == []
    _, envelope, _ = await served.ask("GET", "/installations?end_user_id=ann&limit=1")
    (rest,) = await served.data("GET", envelope["links"]["next"].removeprefix("/v1"))
    assert rest["id"] == made[0]


async def test_deleting_a_user_or_a_workflow_removes_its_installations_only(served: Served) -> None:
    users = [(await make_user(served, name))["id"] for name in ("ann", "bea")]
    flows = [await served.publish(NOOP, name=name) for name in ("one", "two")]
    made = {(user, flow): (await install(served, user, flow))["id"] for user in users for flow in flows}
    await served.data("DELETE", f"/end-users/{users[0]}")
    await served.data("DELETE", f"/workflow-definitions/{flows[0]}")
    assert [one["id"] for one in await served.data("GET", "/installations")] == [made[users[1], flows[1]]]
    assert await kinds_of(served, "installation.removed") == ["installation.removed"] * 3


async def test_installations_are_listed_by_integration_and_state_and_counted_by_release(served: Served) -> None:
    users = [(await make_user(served, name))["id"] for name in ("ann", "bea", "cid")]
    flows = [await served.publish(NOOP, name=name) for name in ("one", "two")]
    await make_integration(served)
    offered = {"workflow_id": flows[0]}
    shown = await served.data("POST", "/integrations/int_shopify/workflows", offered, 201)
    assert (shown["newest_release"], shown["installed"]) == ("1.0.0", [])
    await release(served, flows[0], "1.0.0")
    await served.publish(OTHER, name="one")
    await release(served, flows[0], "1.1")
    made = [(await install(served, users[0], flows[0], version="1.0.0"))["id"]]
    made.append((await install(served, users[1], flows[0], active=False))["id"])
    made.append((await install(served, users[2], flows[0]))["id"])
    made.append((await install(served, users[2], flows[1]))["id"])

    async def listed(query: str, key: str = "acme") -> list[int]:
        return [made.index(one["id"]) for one in await served.data("GET", f"/installations?{query}", key=key)]

    assert await listed("integration_id=int_shopify") == [2, 1, 0]
    assert await listed("integration_id=int_shopify&active=false") == await listed("active=false") == [1]
    assert await listed("integration_id=int_shopify&end_user_id=cid&active=true") == [2]
    assert await listed(f"workflow_id={flows[1]}&integration_id=int_shopify") == []
    for query in ("integration_id=int_none", "integration_id=shopify", "integration_id="):
        assert await listed(query) == []
    (one,) = await served.data("GET", "/integrations/int_shopify/workflows")
    assert one["newest_release"] == "1.1"
    assert one["installed"] == [
        {"release": "1.1", "version": 2, "installations": 2, "active": 1},
        {"release": "1.0.0", "version": 1, "installations": 1, "active": 1},
    ]
    await make_integration(served, key="other")
    assert await listed("integration_id=int_shopify", "other") == []


async def test_end_users_are_found_by_a_part_of_their_names(served: Served) -> None:
    await make_user(served, "Ann@example.com", full_name="Ann Smith")
    await make_user(served, "bea@example.com", full_name="100% Bea")
    await make_user(served, "ann-of-other", "other")

    async def found(query: str) -> list[str]:
        return [user["username"] for user in await served.data("GET", f"/end-users?{query}")]

    assert await found("q=ANN") == await found("q=smith") == ["Ann@example.com"]
    assert await found("q=%25") == ["bea@example.com"]
    assert await found("q=example") == await found("q=") == ["bea@example.com", "Ann@example.com"]
    assert await found("q=_") == await found("q=other") == []
    _, envelope, _ = await served.ask("GET", "/end-users?q=example&limit=1")
    (rest,) = await served.data("GET", envelope["links"]["next"].removeprefix("/v1"))
    assert rest["username"] == "Ann@example.com"
    assert (await served.ask("GET", "/end-users?q=a&username=b"))[1]["error"]["details"] == {"field": "q"}


async def test_the_runs_and_the_purges_of_an_end_user_are_listed(served: Served) -> None:
    ann, bea = [(await make_user(served, name))["id"] for name in ("ann", "bea")]
    waits = {"key": "a", "operation": "workflow.wait_event", "config": {"event": "go"}}
    workflow = await served.publish(waits, trigger={"type": "event", "event": "begin"})
    runs = {}
    principal = await served.principal()
    for user in (ann, bea):
        await install(served, user, workflow)
        runs[user] = list((await served.app.embedded_events.trigger(principal, user, "begin", {})).started)
        runs[user] += (await served.app.embedded_events.trigger(principal, user, "begin", {})).started

    async def listed(query: str, key: str = "acme") -> list[str]:
        return [run["id"] for run in await served.data("GET", f"/workflow-runs?{query}", key=key)]

    assert await listed(f"end_user_id={ann}") == await listed(f"end_user_id={ann}&top_level=true") == runs[ann][::-1]
    assert await listed(f"end_user_id={bea}&workflow_id={workflow}&limit=1") == runs[bea][1:]
    assert await listed(f"end_user_id={ann}&status=completed") == await listed("end_user_id=nobody") == []
    assert await listed(f"end_user_id={ann}&parent_run_id={runs[ann][0]}") == []
    assert await listed(f"end_user_id={ann}", "other") == []

    assert await served.data("GET", "/end-user-purges") == []
    going_on, asked = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        asked.set()
        await going_on.wait()

    served.app.end_user_purge.on_deleted(hold)
    await served.data("DELETE", f"/end-users/{ann}")
    await asked.wait()
    (purge,) = await served.data("GET", "/end-user-purges", key="acme viewer")
    assert purge["end_user_id"] == ann
    assert await served.data("GET", "/end-user-purges", key="other") == []
    going_on.set()
    while await served.data("GET", "/end-user-purges"):  # the request itself lets the purge go on
        pass
    assert "end_user.purged" in await served.kinds()
    assert await listed(f"end_user_id={ann}") == []
