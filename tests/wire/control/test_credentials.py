"""`/v1/credentials` and `connector.action` end to end: used, paged, refreshed once, and never shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from alloyd.config.model import EgressConfig
from alloyd.errors import AlloydError
from tests.app import Served, open_app
from tests.connectors import ITEMS, OWN_CONNECTOR, AppServer, open_app_server, same

CANARY = "canary-0123456789-secret/with+signs"


@pytest.fixture
async def server() -> AsyncIterator[AppServer]:
    async with open_app_server() as opened:
        yield opened


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path, egress=EgressConfig(allow=("127.0.0.1/32",))) as opened:
        yield opened


async def connect(served: Served, server: AppServer, kind: str = "bearer", **more: Any) -> dict[str, Any]:
    """The organization's connector to ``server``, and a credential for it."""
    await served.data("POST", "/connectors", {"definition": server.definition()}, 201)
    data = more.pop("data", None) or {"bearer": {"token": server.token}, "oauth2": tokens(server)}[kind]
    body = {"connector": "own-app", "kind": kind, "data": data, **more}
    made: dict[str, Any] = await served.data("POST", "/credentials", body, 201)
    return made


def tokens(server: AppServer) -> dict[str, str]:
    return {
        "access_token": server.token,
        "refresh_token": server.refresh_token,
        "client_id": "client",
        "client_secret": "client-secret",
    }


async def act(served: Served, action: str, slug: str = "acme", policy: Any = None, **config: Any) -> Any:
    """The run of one ``connector.action``: its output, or its error."""
    node = {"key": "a", "operation": "connector.action", "config": {"connector": "own-app", "action": action, **config}}
    node["policy"] = policy or {"max_retries": 0}
    workflow = await served.publish(node, name=f"flow-{action}", slug=slug)
    run = await served.data("POST", "/workflow-runs", {"workflow_definition_id": workflow}, 201, key=slug)
    run_id = run["id"]
    await served.data("POST", f"/workflow-runs/{run_id}/start", status=202, key=slug)
    ended = await served.app.runs.wait(await served.principal(slug), run_id, 30)
    assert ended is not None
    steps = (await served.data("GET", f"/workflow-runs/{run_id}", key=slug))["steps"]
    return steps[0]


async def test_what_a_credential_holds_never_shows(
    served: Served, server: AppServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.token = CANARY
    made = await connect(served, server, data={"token": CANARY})
    assert set(made) == {
        *("id", "organization_id", "end_user_id", "connector", "kind", "label", "settings", "status", "fault"),
        *("expires_at", "refreshable", "last_used_at", "created_by", "created_at", "updated_at"),
    }
    assert (made["label"], made["status"], made["last_used_at"]) == ("App", "ok", None)
    step = await act(served, "echo")
    assert step["status"] == "completed", step
    assert step["output"]["data"]["headers"]["Authorization"] == "Bearer ***"
    server.planned.append(web.json_response({"message": f"bad token {CANARY}"}, status=403))
    failed = await act(served, "get", params={"id": "1"})
    assert failed["error"]["code"] == "connector_status"
    told: list[Any] = [made, step, failed]
    for path in ("/credentials", f"/credentials/{made['id']}", "/events", "/connectors", "/connectors/own-app"):
        status, envelope, _headers = await served.ask("GET", path)
        told.append(envelope if status == 200 else None)
    changed = {"label": "Other", "data": {"token": CANARY}}
    told.append(await served.data("PATCH", f"/credentials/{made['id']}", changed))
    bad = {"connector": "own-app", "kind": "bearer", "data": {"token": CANARY + "\n"}}
    told.append((await served.ask("POST", "/credentials", bad))[1])
    rows = await served.app.database.read(
        lambda conn: [
            conn.execute(f"SELECT * FROM {table}").fetchall()
            for (table,) in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        ]
    )
    for canary in (CANARY, CANARY.replace("/", "\\/")):
        assert canary.encode() not in same(told)
        assert canary not in repr(rows)
        assert canary not in caplog.text
    used = await served.data("GET", f"/credentials/{made['id']}")
    assert used["last_used_at"] is not None
    assert "credential.created" in await served.kinds()
    assert "credential.updated" in await served.kinds()


@pytest.mark.parametrize("kind", ["cursor", "page", "offset", "link"])
async def test_pages(served: Served, server: AppServer, kind: str) -> None:
    await connect(served, server)
    first = (await act(served, f"list_{kind}"))["output"]
    page = first["data"] if kind == "link" else first["data"]["data"]
    assert page == ITEMS[:3]
    second = (await act(served, f"list_{kind}", cursor=first["next"], params={"limit": 3}))["output"]
    assert (second["data"] if kind == "link" else second["data"]["data"]) == ITEMS[3:6]
    whole = (await act(served, f"list_{kind}", page_all=True))["output"]
    assert whole == {"status": 200, "data": ITEMS}
    part = (await act(served, f"list_{kind}", page_all=True, pages_max=2))["output"]
    assert part["data"] == ITEMS[:6]
    assert part["next"]


async def test_what_changes_something_carries_the_same_key(served: Served, server: AppServer) -> None:
    await connect(served, server)
    await act(served, "create", params={"name": "x"})
    await act(served, "get", params={"id": "a/b", "tags": ["x", "y"], "trace": "t"})
    (post, get) = server.seen
    assert post[0] == "POST"
    assert post[2]["Idempotency-Key"]
    assert "Idempotency-Key" not in get[2]
    assert get[1] == "/v1/things/a%2Fb?tags=x,y"
    assert get[2]["X-Trace"] == "t"


async def test_many_runs_wait_for_one_refresh(served: Served, server: AppServer) -> None:
    made = await connect(served, server, "oauth2", expires_at="2020-01-01T00:00:00Z")
    assert (made["status"], made["refreshable"]) == ("ok", True)
    server.holds = asyncio.Event()
    runs = [asyncio.create_task(act(served, action)) for action in ("echo", "list_link", "list_page", "list_cursor")]
    await server.asked.wait()
    server.holds.set()
    steps = await asyncio.gather(*runs)
    assert [step["status"] for step in steps] == ["completed"] * 4
    assert len(server.grants) == 1
    grant = server.grants[0]
    assert (grant["grant_type"], grant["refresh_token"]) == ("refresh_token", "first-refresh-token")
    assert grant["authorization"].startswith("Basic ")
    shown = await served.data("GET", f"/credentials/{made['id']}")
    assert (shown["status"], shown["expires_at"]) == ("ok", "2026-01-01T01:00:00.000Z")


async def test_a_401_gets_one_new_token(served: Served, server: AppServer) -> None:
    await connect(served, server, "oauth2", data=tokens(server) | {"access_token": "old-access-token"})
    assert (await act(served, "echo"))["status"] == "completed"
    assert len(server.grants) == 1
    server.planned = [web.json_response({}, status=401), web.json_response({}, status=401)]
    failed = await act(served, "echo")
    assert failed["error"]["code"] == "connector_status"
    assert len(server.grants) == 2


async def test_a_token_that_the_body_calls_expired_is_replaced(served: Served, server: AppServer) -> None:
    await connect(served, server, "oauth2")
    server.planned = [web.json_response({"ok": False, "error": "token_expired"})]
    assert (await act(served, "echo"))["status"] == "completed"
    assert len(server.grants) == 1


async def test_a_failed_refresh_deletes_nothing(served: Served, server: AppServer) -> None:
    made = await connect(served, server, "oauth2", expires_at="2026-01-01T00:00:30Z")
    server.refuses = (400, {"error": "invalid_grant", "error_description": CANARY})
    assert (await act(served, "echo"))["status"] == "completed"  # the token is good for half a minute yet
    shown = await served.data("GET", f"/credentials/{made['id']}")
    assert (shown["status"], shown["fault"]) == ("failed", "the token endpoint answered 400 (invalid_grant)")
    served.clock.advance(31_000)
    failed = await act(served, "list_page")
    assert failed["error"]["code"] == "connector_auth"
    assert CANARY.encode() not in same([shown, failed])
    assert (await act(served, "list_page"))["error"]["code"] == "connector_auth"
    assert len(server.grants) == 2  # the third time nobody asked: it was a moment ago
    assert (await served.kinds()).count("credential.refresh_failed") == 1
    served.clock.advance(31_000)
    server.refuses = None
    assert (await act(served, "echo"))["status"] == "completed"
    assert server.grants[-1]["refresh_token"] == "first-refresh-token"
    assert (await served.data("GET", f"/credentials/{made['id']}"))["status"] == "ok"


async def test_a_token_endpoint_that_is_down_is_tried_again(served: Served, server: AppServer) -> None:
    await connect(served, server, "oauth2", expires_at="2020-01-01T00:00:00Z")
    server.refuses = (503, {})
    assert (await act(served, "echo"))["error"]["code"] == "connector_auth"
    server.refuses = None
    served.clock.advance(31_000)
    assert (await act(served, "echo"))["status"] == "completed"


async def test_a_token_that_is_over_and_can_not_be_replaced(served: Served, server: AppServer) -> None:
    data = {"access_token": "a-token-that-is-over"}
    made = await connect(served, server, "oauth2", data=data, expires_at="2020-01-01T00:00:00Z")
    assert made["status"] == "expired"
    assert (await act(served, "echo"))["error"]["code"] == "connector_auth"


async def test_which_credential_a_run_uses(served: Served, server: AppServer) -> None:
    assert (await served.ask("GET", "/credentials/nope"))[0] == 404
    await served.data("POST", "/connectors", {"definition": server.definition()}, 201)
    assert (await act(served, "echo"))["error"]["code"] == "not_found"
    body = {"connector": "own-app", "kind": "api_key", "data": {"api_key": "key-of-an-end-user"}, "label": "Theirs"}
    theirs = await served.data("POST", "/credentials", body | {"end_user_id": "usr_1"}, 201)
    assert (await act(served, "echo"))["error"]["code"] == "not_found"
    assert (await act(served, "echo", credential=theirs["id"]))["error"]["code"] == "not_found"
    assert (await act(served, "echo", credential="Theirs"))["error"]["code"] == "not_found"
    one = await served.data("POST", "/credentials", body | {"label": "One", "data": {"api_key": "key-one-one"}}, 201)
    assert (await act(served, "echo"))["status"] == "completed"
    assert server.seen[-1][2]["X-Key"] == "key-one-one"
    await served.data("POST", "/credentials", body | {"label": "Two", "data": {"api_key": "key-two-two"}}, 201)
    assert (await act(served, "echo"))["error"]["code"] == "conflict"
    await act(served, "echo", credential="Two")
    assert server.seen[-1][2]["X-Key"] == "key-two-two"
    await act(served, "echo", credential=one["id"])
    assert server.seen[-1][2]["X-Key"] == "key-one-one"
    listed = await served.data("GET", "/credentials?end_user_id=usr_1")
    assert [found["id"] for found in listed] == [theirs["id"]]
    assert len(await served.data("GET", "/credentials?connector=own-app")) == 3
    await served.data("DELETE", f"/credentials/{one['id']}")
    assert (await act(served, "echo"))["status"] == "completed"


async def test_an_own_connector_to_the_inside_is_refused(tmp_path: Path, server: AppServer) -> None:
    async with open_app(tmp_path) as served:
        await connect(served, server)
        error = (await act(served, "echo"))["error"]
        assert error["code"] == "http_refused", error
        await connect(served, server, "oauth2", label="o", expires_at="2020-01-01T00:00:00Z")
        assert (await act(served, "echo", credential="o"))["error"]["code"] == "connector_auth"
        assert server.seen == []


async def test_faults_are_found_when_a_workflow_is_saved(served: Served) -> None:
    for config, place in (
        ({"connector": "slakc", "action": "send_message"}, "connector"),
        ({"connector": "slack", "action": "sendmessage"}, "action"),
        ({"connector": "slack", "action": "send_message", "params": {"text": "x"}}, "params.channel"),
        ({"connector": "slack", "action": "send_message", "params": {"channel": 7}}, "params.channel"),
        ({"connector": "slack", "action": "send_message", "params": {"channel": "c", "x": 1}}, "params.x"),
        ({"connector": "slack", "action": "send_message", "params": {"channel": "c"}, "page_all": True}, "page_all"),
    ):
        node = {"key": "a", "operation": "connector.action", "config": config}
        status, envelope, _headers = await served.ask("POST", "/workflow-definitions", {"name": "x", "nodes": [node]})
        assert status == 422
        assert [fault["path"] for fault in envelope["error"]["details"]] == [f"nodes[0].config.{place}"], envelope
    fine = {"connector": "slack", "action": "send_message", "params": {"channel": "{{ trigger.to }}"}}
    flow = {"go": {"type": "tool", "config": fine}}
    definition = {"name": "y", "type": "structured", "starting_step_id": "go", "flow": flow}
    await served.data("POST", "/workflow-definitions", definition, 201)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"connector": "nope"}, "connector"),
    ({"kind": "basic"}, "kind"),
    ({"data": {}}, "data.token"),
    ({"data": {"token": ""}}, "data.token"),
    ({"data": {"token": "x", "more": "y"}}, "data"),
    ({"data": {"token": "x" * 20_000}}, "data.token"),
    ({"data": {"token": "a\r\nX-Evil: 1"}}, "data.token"),
    ({"label": " x"}, "label"),
    ({"end_user_id": ""}, "end_user_id"),
    ({"settings": {"nope": "x"}}, "settings.nope"),
    ({"expires_at": "2026-01-01T00:00:00Z"}, "expires_at"),
    ({"kind": "oauth2", "data": {"access_token": "x"}, "expires_at": "soon"}, "expires_at"),
]


@pytest.mark.parametrize(("change", "field"), BAD)
async def test_bad_credentials(served: Served, change: dict[str, Any], field: str) -> None:
    body = {"connector": "slack" if field != "kind" else "github", "kind": "bearer", "data": {"token": "x"}} | change
    status, envelope, _headers = await served.ask("POST", "/credentials", body)
    assert (status, envelope["error"]["details"]["field"]) == (400, field), envelope


async def test_a_secret_does_not_follow_a_setting(served: Served) -> None:
    body = {"connector": "http", "kind": "bearer", "data": {"token": "abcdefgh"}}
    made = await served.data("POST", "/credentials", body | {"settings": {"base_url": "https://a.example"}}, 201)
    path, moved = f"/credentials/{made['id']}", {"base_url": "https://evil.example"}
    assert (await served.ask("PATCH", path, {"settings": moved}))[0] == 400
    assert (await served.ask("PATCH", path, {"expires_at": None}))[0] == 400
    changed = await served.data("PATCH", path, {"settings": moved, "data": {"token": "another-one"}})
    assert changed["settings"]["base_url"] == "https://evil.example"
    await served.data("POST", "/credentials", body | {"settings": {"base_url": "https://b.example"}}, 409)


async def test_own_connectors(served: Served, server: AppServer) -> None:
    shipped = await served.data("GET", "/connectors")
    assert [one["name"] for one in shipped][:2] == ["slack", "github"]
    made = await served.data("POST", "/connectors", {"definition": OWN_CONNECTOR}, 201)
    assert made["action_schemas"][1]["params"]["required"] == ["id"]
    assert [one["name"] for one in await served.data("GET", "/connectors")][-1] == "own-app"
    assert await served.data("GET", "/connectors", key="other") == shipped
    assert (await served.ask("GET", "/connectors/own-app", key="other"))[0] == 404
    assert (await served.data("GET", "/connectors/slack"))["id"] == "slack"
    assert (await served.ask("DELETE", "/connectors/slack"))[0] == 409
    named = OWN_CONNECTOR | {"name": "slack"}
    assert (await served.ask("POST", "/connectors", {"definition": named}))[0] == 422
    body = {"connector": "own-app", "kind": "bearer", "data": {"token": "x"}}
    credential = await served.data("POST", "/credentials", body, 201)
    assert (await served.ask("POST", "/connectors", {"definition": server.definition()}))[
        0
    ] == 409  # it would lead elsewhere
    assert (await served.ask("DELETE", f"/connectors/{made['id']}"))[0] == 409
    again = await served.data("POST", "/connectors", {"definition": OWN_CONNECTOR | {"title": "New"}}, 201)
    assert (again["id"], again["title"]) == (made["id"], "New")
    await served.data("DELETE", f"/credentials/{credential['id']}")
    assert await served.data("DELETE", "/connectors/own-app") == {"id": made["id"]}
    huge = OWN_CONNECTOR | {"description": "x" * 300_000}
    assert (await served.ask("POST", "/connectors", {"definition": huge}))[0] == 413


async def test_a_repeat_makes_one(served: Served) -> None:
    body = {"connector": "slack", "kind": "bearer", "data": {"token": "abcdefgh"}, "idempotency_key": "k"}
    first = await served.data("POST", "/credentials", body, 201)
    assert await served.data("POST", "/credentials", body, 201) == first


async def test_an_end_users_run_uses_their_own(served: Served, server: AppServer) -> None:
    await connect(served, server, label="Ours")
    body = {"connector": "own-app", "kind": "api_key", "label": "Theirs", "end_user_id": "usr_1"}
    await served.data("POST", "/credentials", body | {"data": {"api_key": "key-of-an-end-user"}}, 201)
    principal, service = await served.principal(), served.app.credentials
    assert (await service.choose(principal, "own-app", None, "usr_1")).label == "Theirs"
    assert (await service.choose(principal, "own-app", None, "usr_2")).label == "Ours"
    assert (await service.choose(principal, "own-app", "Ours", "usr_1")).label == "Ours"
    with pytest.raises(AlloydError, match="not"):
        await service.choose(principal, "own-app", "Theirs", "usr_2")
    org_id = principal.org_id
    await served.app.database.write(lambda tx: service.end_of_end_user(tx, org_id, "usr_1"))
    assert [one["label"] for one in await served.data("GET", "/credentials")] == ["Ours"]
    assert (await served.kinds()).count("credential.deleted") == 1
