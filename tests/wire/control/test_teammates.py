"""`/v1/teammates`: management, messages, conversations, and the runs that are a teammate's request log."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alloyd.kit.clock import rfc3339
from alloyd.kit.ids import is_uuid, new_id
from tests.app import Served, open_app

NOOP = {"key": "a", "operation": "workflow.noop"}
STEM = "/teammates"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


async def create(served: Served, name: str = "Ada", key: str = "acme", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = await served.data("POST", STEM, {"name": name, **more}, 201, key=key)
    return made


async def parts(
    served: Served, path: str, body: Any, key: str = "acme"
) -> tuple[dict[str, str], list[tuple[str, Any]]]:
    """Headers, and the named frames with their data, of a streamed answer; the last has no name."""
    headers = {"Authorization": f"Bearer {await served.key(key)}", "Accept": "text/event-stream"}
    async with served.session.post(f"{served.url}/v1{path}", json=body, headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        text = await response.text()
    assert text.endswith("data: [DONE]\n\n")
    frames = [frame for frame in text.removesuffix("data: [DONE]\n\n").split("\n\n") if frame]
    told = [frame.split("\n") for frame in frames if not frame.startswith(":")]
    return dict(response.headers), [(name[7:], msgspec.json.decode(data[6:])) for name, data in told]


# -- management -------------------------------------------------------------------------------------------------------


async def test_create_shows_all_of_it(served: Served) -> None:
    await served.publish(NOOP, name="order-sync")
    tools = [
        {"type": "workflow", "workflow": "order-sync", "description": "Sync the orders."},
        {"type": "connector", "connector": "github", "action": "list_issues", "credential": "main"},
    ]
    action = (await served.app.connectors.get(await served.principal(), "github")).definition.actions[0].key
    tools[1]["action"] = action
    given = {
        "role": "Bookkeeper",
        "instructions": "Be brief.\nBe right.",
        "provider": "echo",
        "model": "echo",
        "tier": None,
        "temperature": 0.5,
        "tools": tools,
        "storage": {"read": ["invoices/"], "write": ["/out"]},
        "channel": "api",
        "max_turns": 3,
    }
    made = await create(served, "Ada", **given)
    workflow = await served.data("GET", f"/workflow-definitions/{made['workflow_id']}")
    assert workflow["definition"]["type"] == "employee"
    assert is_uuid(made["id"])
    assert made == {
        **given,
        "id": made["id"],
        "organization_id": served.orgs["acme"],
        "name": "Ada",
        "tools": [tools[0], {**tools[1], "description": None}],
        "storage": {"read": ["invoices"], "write": ["out"]},
        "workflow_id": made["workflow_id"],
        "created_by": made["created_by"],
        "created_at": rfc3339(served.clock.now_ms()),
        "updated_at": rfc3339(served.clock.now_ms()),
        "last_message_at": None,
    }
    _status, envelope, _headers = await served.ask("GET", f"{STEM}/{made['id']}")
    assert envelope["data"] == made
    assert envelope["links"]["runs"] == f"/v1/workflow-runs?teammate_id={made['id']}"


async def test_name_alone_is_enough(served: Served) -> None:
    made = await create(served)
    plain = {name: made[name] for name in ("role", "instructions", "provider", "model", "tier", "temperature")}
    assert plain == dict.fromkeys(("role", "instructions"), "") | dict.fromkeys(
        ("provider", "model", "tier", "temperature")
    )
    assert (made["tools"], made["storage"], made["channel"], made["max_turns"]) == (
        [],
        {"read": [], "write": []},
        "none",
        8,
    )


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "name"),
        ({"name": ""}, 400, "name"),
        ({"name": "a\nb"}, 400, "name"),
        ({"name": "x", "role": "r" * 201}, 400, "role"),
        ({"name": "x", "instructions": "i" * 32_769}, 400, "instructions"),
        ({"name": "x", "instructions": 5}, 400, "instructions"),
        ({"name": "x", "model": ""}, 400, "model"),
        ({"name": "x", "temperature": 3}, 400, "temperature"),
        ({"name": "x", "max_turns": 0}, 400, "max_turns"),
        ({"name": "x", "max_turns": 51}, 400, "max_turns"),
        ({"name": "x", "channel": "fax"}, 400, "channel"),
        ({"name": "x", "tools": [{"type": "shell"}]}, 400, "tools[0]"),
        ({"name": "x", "tools": [{"type": "workflow"}]}, 400, "tools[0]"),
        ({"name": "x", "tools": [{"type": "workflow", "workflow": "gone"}]}, 400, "tools[0].workflow"),
        ({"name": "x", "tools": [{"type": "workflow", "workflow": "a", "role": "owner"}]}, 400, "tools[0]"),
        (
            {"name": "x", "tools": [{"type": "connector", "connector": "gone", "action": "a"}]},
            400,
            "tools[0].connector",
        ),
        ({"name": "x", "storage": {"read": ["/../etc"]}}, 400, "storage.read[0]"),
        ({"name": "x", "storage": {"execute": ["/"]}}, 400, "storage"),
        ({"name": "x", "organization_id": new_id()}, 404, None),
        ({"name": "x", "idempotency_key": "a b"}, 400, "idempotency_key"),
    ],
)
async def test_bad_create_stores_nothing(served: Served, body: dict[str, Any], status: int, field: str | None) -> None:
    got, envelope, _headers = await served.ask("POST", STEM, body)
    assert got == status, envelope
    if field is not None:
        assert field in envelope["error"]["message"]
    assert await served.data("GET", STEM) == []


async def test_a_name_is_taken_once_in_an_organization(served: Served) -> None:
    await create(served)
    assert (await served.ask("POST", STEM, {"name": "Ada"}))[0] == 409
    await create(served, key="other")


async def test_create_takes_effect_once(served: Served) -> None:
    body = {"name": "Ada", "idempotency_key": "k"}
    made = [await served.data("POST", STEM, body, 201) for _ in range(3)]
    assert len({one["id"] for one in made}) == 1
    assert (await served.ask("POST", STEM, {**body, "role": "other"}))[0] == 409


async def test_list_pages_newest_first(served: Served) -> None:
    ids = [(await create(served, f"mate {number}"))["id"] for number in range(5)]
    await create(served, key="other")
    found: list[str] = []
    path = f"{STEM}?limit=2"
    while path:
        _status, envelope, _headers = await served.ask("GET", path)
        found += [one["id"] for one in envelope["data"]]
        path = envelope["links"].get("next", "").removeprefix("/v1")
    assert found == ids[::-1]


async def test_change_what_is_named(served: Served) -> None:
    await served.publish(NOOP, name="order-sync")
    tool = {"type": "workflow", "workflow": "order-sync", "description": None}
    made = await create(served, model="echo", tools=[tool], storage={"read": ["/a"]}, temperature=1)
    path = f"{STEM}/{made['id']}"
    served.clock.advance(1000)
    changed = await served.data("PATCH", path, {"channel": "webchat", "model": None})
    later = rfc3339(served.clock.now_ms())
    assert changed == {**made, "channel": "webchat", "model": None, "updated_at": later}
    emptied = await served.data("PATCH", path, {"tools": [], "storage": {"write": ["/b/"]}, "temperature": None})
    assert (emptied["tools"], emptied["storage"], emptied["temperature"]) == ([], {"read": [], "write": ["b"]}, None)
    for body, field in (
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"tools": [{"type": "workflow", "workflow": "gone"}]}, "tools[0].workflow"),
        ({"max_turns": 99}, "max_turns"),
    ):
        status, envelope, _headers = await served.ask("PATCH", path, body)
        assert status == 400
        assert field in envelope["error"]["message"]
    assert await served.data("GET", path) == emptied


async def test_delete_takes_its_keys_and_its_workflow(served: Served) -> None:
    made, stays = await create(served), await create(served, "Bob", channel="api")
    keys = {
        one["id"]: await served.data("POST", "/api-keys", {"name": "k", "teammate_id": one["id"]}, 201)
        for one in (made, stays)
    }
    assert await served.data("DELETE", f"{STEM}/{made['id']}") == {"id": made["id"]}
    assert (await served.ask("GET", f"{STEM}/{made['id']}"))[0] == 404
    assert (await served.ask("GET", f"/workflow-definitions/{made['workflow_id']}"))[0] == 404
    states = {one["teammate_id"]: one["status"] for one in await served.data("GET", "/api-keys?limit=2")}
    assert states == {made["id"]: "revoked", stays["id"]: "active"}
    raw = keys[stays["id"]]["key"]
    async with served.session.get(
        f"{served.url}/api/teammates/{stays['id']}/runs", headers={"api-key": raw}
    ) as response:
        assert response.status == 200
    refused = await served.ask("POST", "/api-keys", {"name": "k", "teammate_id": made["id"]})
    assert (refused[0], refused[1]["error"]["message"]) == (404, "teammate not found")
    assert (await served.ask("DELETE", f"{STEM}/{made['id']}"))[0] == 404


async def test_a_bound_key_is_for_its_own_teammate(served: Served) -> None:
    mine, other = await create(served, "Ann", channel="api"), await create(served, "Bob", channel="api")
    raw = (await served.data("POST", "/api-keys", {"name": "k", "teammate_id": mine["id"]}, 201))["key"]
    answers = {}
    for id_ in (mine["id"], other["id"], new_id()):
        async with served.session.get(f"{served.url}/api/teammates/{id_}/runs", headers={"api-key": raw}) as response:
            answers[id_] = (response.status, await response.json())
    assert answers.pop(mine["id"])[0] == 200
    assert [status for status, _body in answers.values()] == [404, 404]
    assert answers[other["id"]] == list(answers.values())[1]
    for path, header in (
        ("/api/private/storage", "api-key"),
        ("/v1/me", "Authorization"),
        ("/v1/models", "Authorization"),
    ):
        value = raw if header == "api-key" else f"Bearer {raw}"
        async with served.session.get(f"{served.url}{path}", headers={header: value}) as response:
            assert response.status == 401, path


async def test_who_may_do_what(served: Served) -> None:
    path = f"{STEM}/{(await create(served))['id']}"
    for role, change, message, read in (("viewer", 403, 403, 200), ("member", 403, 200, 200), ("admin", 200, 200, 200)):
        key = f"acme {role}"
        assert (await served.ask("GET", path, key=key))[0] == read
        assert (await served.ask("PATCH", path, {"role": role}, key=key))[0] == change
        assert (await served.ask("POST", f"{path}/messages", {"message": "hi"}, key=key))[0] == message
        assert (await served.ask("POST", STEM, {"name": role}, key=key))[0] == (201 if change == 200 else 403)
    grant = {"principal": "", "action": "teammate.message", "effect": "deny", "resource": path[1:].replace("s/", ":")}
    member = next(one for one in await served.data("GET", "/api-keys") if one["name"] == "acme member")
    await served.data("POST", "/grants", {**grant, "principal": f"api_key:{member['id']}"}, 201)
    assert (await served.ask("POST", f"{path}/messages", {"message": "hi"}, key="acme member"))[0] == 403
    other = f"{STEM}/{(await create(served, 'Bob'))['id']}"
    assert (await served.ask("POST", f"{other}/messages", {"message": "hi"}, key="acme member"))[0] == 200
    checked = {"action": "teammate.message", "resource": path[1:].replace("s/", ":")}
    assert (await served.data("POST", "/authz/check", checked, key="acme member"))["allowed"] is False


# -- messages ---------------------------------------------------------------------------------------------------------


async def test_a_reply_in_one_piece(served: Served) -> None:
    made = await create(served, model="echo")
    path = f"{STEM}/{made['id']}/messages"
    said = await served.data("POST", path, {"message": "hello there", "context": {"order": 7}})
    run = await served.data("GET", f"/workflow-runs/{said['run_id']}")
    assert (run["status"], run["workflow_id"], run["trigger"]) == ("completed", made["workflow_id"], "teammate")
    assert "hello there" in said["reply"]
    assert said["usage"].keys() == {"input_tokens", "output_tokens", "cost_usd"}
    assert (said["finish_reason"], said["provider_id"], said["model"]) == ("stop", "echo", "echo")
    again = await served.data("POST", path, {"message": "and more", "conversation_id": said["conversation_id"]})
    assert again["conversation_id"] == said["conversation_id"]
    assert again["run_id"] != said["run_id"]


async def test_a_message_is_said_once(served: Served) -> None:
    path = f"{STEM}/{(await create(served, model='echo'))['id']}/messages"
    body = {"message": "hello", "idempotency_key": "k"}
    said = [await served.data("POST", path, body) for _ in range(2)]
    assert said[0] == said[1]
    assert (await served.ask("POST", path, {**body, "message": "other"}))[0] == 409
    _headers, streamed = await parts(served, path, body)
    assert "".join(told["text"] for name, told in streamed if name == "delta") == said[0]["reply"]
    assert await served.count_runs() == 1


async def test_a_reply_as_a_stream(served: Served) -> None:
    path = f"{STEM}/{(await create(served, model='echo'))['id']}"
    headers, told = await parts(served, f"{path}/messages", {"message": "hello there"})
    names = [name for name, _data in told]
    assert names[-1] == "done"
    assert set(names[:-1]) == {"delta"}
    text = "".join(data["text"] for name, data in told if name == "delta")
    done = told[-1][1]
    assert done.keys() >= {"finish_reason", "usage", "provider_id", "model"}
    conversation = await served.data("GET", f"{path}/conversations/{headers['X-Alloyd-Conversation-Id']}")
    reply, asked = conversation["messages"]
    assert (asked["role"], asked["text"]) == ("user", "hello there")
    assert (reply["role"], reply["text"], reply["run_id"]) == ("assistant", text, headers["X-Alloyd-Run-Id"])


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "message"),
        ({"message": " \n"}, 400, "message"),
        ({"message": "a\0b"}, 400, "message"),
        ({"message": 5}, 400, "message"),
        ({"message": "x", "conversation_id": "x"}, 400, "conversation_id"),
        ({"message": "x", "conversation_id": new_id()}, 404, "conversation"),
    ],
)
async def test_bad_message_starts_nothing(served: Served, body: dict[str, Any], status: int, field: str) -> None:
    path = f"{STEM}/{(await create(served))['id']}/messages"
    for headers in ({}, {"Accept": "text/event-stream"}):
        got, envelope, _headers = await served.ask("POST", path, body, headers=headers)
        assert got == status, envelope
        assert field in envelope["error"]["message"]
    assert await served.count_runs() == 0


async def test_a_message_has_a_largest_size(served: Served) -> None:
    path = f"{served.url}/v1{STEM}/{(await create(served))['id']}/messages"
    headers = {"Authorization": f"Bearer {await served.key('acme')}", "Content-Type": "application/json"}
    for size, field in ((1024 * 1024 + 1, "message"), (2 * 1024 * 1024, "body")):
        body = io.BytesIO(msgspec.json.encode({"message": "x" * size}))
        async with served.session.post(path, data=body, headers=headers) as response:
            assert response.status == 413
            assert field in (await response.json())["error"]["message"]


async def test_what_stands_in_the_way_of_a_reply_is_told(served: Served) -> None:
    path = f"{STEM}/{(await create(served, model='gone'))['id']}/messages"
    for headers in ({}, {"Accept": "text/event-stream"}):
        status, envelope, _headers = await served.ask("POST", path, {"message": "x"}, headers=headers)
        assert status in (422, 502), envelope
        assert is_uuid(envelope["error"]["details"][0]["run_id"])


# -- conversations and runs -------------------------------------------------------------------------------------------


async def test_conversations_page_and_are_forgotten(served: Served) -> None:
    path = f"{STEM}/{(await create(served, model='echo'))['id']}"
    first = (await served.data("POST", f"{path}/messages", {"message": "m1"}))["conversation_id"]
    for number in (2, 3):
        await served.data("POST", f"{path}/messages", {"message": f"m{number}", "conversation_id": first})
    second = (await served.data("POST", f"{path}/messages", {"message": "other"}))["conversation_id"]
    _status, envelope, _headers = await served.ask("GET", f"{path}/conversations?limit=1")
    rest = await served.data("GET", envelope["links"]["next"].removeprefix("/v1"))
    shown = [[(one["id"], one["messages_count"], one["excerpt"]) for one in page] for page in (envelope["data"], rest)]
    assert shown == [[(second, 2, "other")], [(first, 6, "m1")]]
    assert (await served.data("GET", path))["last_message_at"] == rfc3339(served.clock.now_ms())

    texts: list[str] = []
    page = f"{path}/conversations/{first}?limit=4"
    while page:
        _status, envelope, _headers = await served.ask("GET", page)
        texts += [one["text"] for one in envelope["data"]["messages"] if one["role"] == "user"]
        page = envelope["links"].get("next", "").removeprefix("/v1")
    assert texts == ["m3", "m2", "m1"]

    other = f"{STEM}/{(await create(served, 'Bob'))['id']}"
    for gone in (f"{other}/conversations/{first}", f"{path}/conversations/{new_id()}", f"{path}/conversations/x"):
        for method in ("GET", "DELETE"):
            assert (await served.ask(method, gone))[0] == 404
    assert await served.data("DELETE", f"{path}/conversations/{first}") == {"id": first}
    assert (await served.ask("GET", f"{path}/conversations/{first}"))[0] == 404
    assert [one["id"] for one in await served.data("GET", f"{path}/conversations")] == [second]
    assert len(await served.data("GET", "/workflow-runs")) == 4
    for query in ("limit=0", "cursor=x"):
        assert (await served.ask("GET", f"{path}/conversations?{query}"))[0] == 400
        assert (await served.ask("GET", f"{path}/conversations/{second}?{query}"))[0] == 400


async def test_runs_are_filtered_by_teammate(served: Served) -> None:
    one, two = await create(served, model="echo"), await create(served, "Bob", model="echo")
    said = [
        (await served.data("POST", f"{STEM}/{made['id']}/messages", {"message": "x"}))["run_id"]
        for made in (one, two, one)
    ]
    foreign = await create(served, key="other")

    async def listed(query: str) -> list[str]:
        return [run["id"] for run in await served.data("GET", f"/workflow-runs?{query}")]

    assert await listed("") == said[::-1]
    assert await listed(f"teammate_id={one['id']}") == [said[2], said[0]]
    assert await listed(f"teammate_id={one['id']}&limit=1") == [said[2]]
    assert await listed(f"teammate_id={one['id']}&status=failed") == []
    assert await listed(f"teammate_id={one['id']}&workflow_id={one['workflow_id']}") == [said[2], said[0]]
    assert await listed(f"teammate_id={one['id']}&workflow_id={two['workflow_id']}") == []
    for nobody in (foreign["id"], new_id(), "x"):
        assert await listed(f"teammate_id={nobody}") == []
