"""The contract's own document, replayed: each example request, its status, its shape, its words."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from alloyd.domain.keys.model import new_raw_key
from tests.wire.embedded import contract
from tests.wire.embedded.world import FAIL, PREFIX, WAIT, Room

OPERATIONS = {operation.id: operation for operation in contract.operations()}

# The ids of the examples, and what stands for them: ids are not chosen by clients.
SAID = {"error": "UNAUTHORIZED", "message": "Invalid API key"}  # the example of ErrorResponse
USER, WORKFLOW = "usr_abc123", "wf_xyz456"


async def _stage(room: Room) -> dict[str, str]:
    """What the examples speak of: a user, an integration, and an installed workflow with a release to upgrade to."""
    workflow = await room.workflow("wf")
    await room.integration(
        "shopify",
        "acme",
        name="Shopify",
        category="E-Commerce",
        icon_url="https://assets.runalloy.com/icons/shopify.png",
    )
    # An example's id is a fine username.
    user = await room.user(USER)
    await room.good("PUT", "/workflows/activate", {"userId": USER, "workflowId": workflow})
    await room.publish_again("wf")
    await room.release(workflow, "2.0.0")
    return {USER: user, WORKFLOW: workflow}


def _with_ids(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _with_ids(member, ids) for name, member in value.items()}
    return ids.get(value, value) if isinstance(value, str) else value


def _path(operation: contract.Operation, ids: dict[str, str]) -> str:
    """The operation's path with the examples of its parameters."""
    path, query = operation.path, []
    for parameter in operation.told.get("parameters", ()):
        value = ids[parameter["example"]]
        if parameter["in"] == "query":
            query.append(f"{parameter['name']}={value}")
        path = path.replace(f"{{{parameter['name']}}}", value)
    return f"{path}?{'&'.join(query)}" if query else path


def test_the_document_has_ten_operations() -> None:
    assert len(OPERATIONS) == 10
    assert contract.DOCUMENT["servers"][0]["url"].endswith(PREFIX)


@pytest.mark.parametrize("by", ["id", "name"])
@pytest.mark.parametrize("name", sorted(OPERATIONS))
async def test_an_example_is_answered_as_it_says(room: Room, name: str, by: str) -> None:
    operation, ids = OPERATIONS[name], await _stage(room)
    if by == "name":
        ids[USER] = USER
    answer = await room.ask(operation.method, _path(operation, ids), _with_ids(operation.request, ids))
    assert answer.status == operation.good, answer
    example = operation.answer
    assert type(answer.body) is type(example)
    if "message" in example:
        assert answer.body == example
    elif name == "createUser":
        assert set(answer.body) == set(example)
        assert {key: answer.body[key] for key in operation.request} == operation.request
        assert re.fullmatch(r"usr_[0-9a-f]{32}", answer.body["userId"])
    elif name == "listIntegrations":
        assert answer.body == example
    elif name == "generateUserToken":
        assert answer.body["token"].count(".") == 2
    else:
        assert answer.body == {next(iter(example)): []}


async def test_without_a_key_it_is_401(room: Room) -> None:
    for operation in OPERATIONS.values():
        path = re.sub(r"\{\w+\}", "x", operation.path)
        answer = await room.ask(operation.method, path, b"{not json", key=None)
        assert answer.status == 401
        assert answer.body == SAID
    for wrong in ("Bearer nope", "Bearer ", "Basic eDp4", f"Bearer {new_raw_key()}"):
        answer = await room.ask("GET", "/users", key=None, headers={"Authorization": wrong})
        assert answer.body == SAID


async def test_an_unknown_user_or_workflow_is_404(room: Room) -> None:
    ids, tried = await _stage(room), 0
    for operation in OPERATIONS.values():
        for missing in ids:
            if operation.id == "createUser" or missing not in str(operation.told):
                continue
            tried += 1
            there = {**ids, missing: "nowhere"}
            answer = await room.ask(operation.method, _path(operation, there), _with_ids(operation.request, there))
            assert answer.status == 404, (missing, answer)
    assert tried == 14


BAD_BODIES: list[tuple[str, Any]] = [
    *[
        ("createUser", body)
        for body in ({}, {"username": ""}, {"username": 7}, {"username": "x" * 256}, [], b"{", b"7")
    ],
    ("createUser", {"username": "a\nb"}),
    ("createUser", {"username": "a\0b"}),
    ("createUser", {"username": "jane", "fullName": 7}),
    ("createUser", {"username": "jane", "fullName": "a\0b"}),
    *[("triggerEvent", body) for body in ({}, {"userId": USER}, {"event": "e"}, {"userId": USER, "event": ""})],
    ("triggerEvent", {"userId": USER, "event": 7}),
    ("triggerEvent", {"userId": USER, "event": "e", "data": "text"}),
    ("triggerEvent", {"userId": USER, "event": "e", "data": [1]}),
    ("triggerEvent", {"userId": USER, "event": "e", "data": None}),
    *[(f"{verb}Workflow", body) for verb in ("activate", "deactivate") for body in ({}, {"userId": USER}, b"[]")],
    *[(f"{verb}Workflow", {"workflowId": WORKFLOW}) for verb in ("activate", "deactivate")],
    ("upgradeWorkflow", {}),
    ("upgradeWorkflow", {"userId": USER, "version": "9.9.9"}),
    ("upgradeWorkflow", {"userId": USER, "version": 2}),
    ("upgradeWorkflow", {"userId": 7}),
]


async def test_a_bad_body_is_400_and_names_what_is_wrong(room: Room) -> None:
    ids, headers = await _stage(room), {"Content-Type": "application/json"}
    for name, body in BAD_BODIES:
        operation = OPERATIONS[name]
        given = _with_ids(body, ids) if isinstance(body, dict) else body
        answer = await room.ask(operation.method, _path(operation, ids), given, headers=headers)
        assert answer.status == 400, (name, body, answer)
        assert ":" in answer.body["message"]
        assert "full_name" not in answer.body["message"]


async def test_a_username_is_unique_in_its_organization(room: Room) -> None:
    await room.user("jane")
    assert (await room.ask("POST", "/users", {"username": "jane"})).status == 400
    await room.user("jane", "other")


async def test_an_older_version_is_400(room: Room) -> None:
    ids = await _stage(room)
    path = f"/workflows/{ids[WORKFLOW]}/upgrade"
    for version in ("2.0.0", "2.0.0", None):
        body = {"userId": USER, "version": version} if version else {"userId": USER}
        told = await room.good("PUT", path, body)
        assert told["message"] == "Workflow upgraded to version 2.0.0"
    assert (await room.ask("PUT", path, {"userId": USER, "version": "1.0.0"})).status == 400


async def test_a_list_of_integrations_needs_a_user(room: Room) -> None:
    for query in ("", "?userId=", "?userId"):
        assert (await room.ask("GET", f"/integrations{query}")).status == 400


async def test_optional_fields_are_left_out(room: Room) -> None:
    user = await room.user("jane")
    assert set(await room.good("GET", f"/users/{user}")) == {"userId", "username", "createdAt"}
    await room.integration("plain")
    (found,) = (await room.good("GET", f"/integrations?userId={user}"))["integrations"]
    assert found == {"integrationId": "int_plain", "name": "Plain", "installed": False}


async def test_logs_and_errors_of_runs(room: Room) -> None:
    workflow = await room.workflow("fails", "acme", "go", FAIL)
    user = await room.user("jane")
    await room.good("PUT", "/workflows/activate", {"userId": user, "workflowId": workflow})
    for _ in range(3):
        await room.good("POST", "/run/event", {"userId": "jane", "event": "go", "data": {}})
        await room.ended(user)
        room.served.clock.advance(1000)
    path, query = f"/workflows/{workflow}", f"?userId={user}"
    logs = (await room.good("GET", f"{path}/logs{query}"))["logs"]
    errors = (await room.good("GET", f"{path}/errors{query}"))["errors"]
    assert [log["status"] for log in logs] == ["failure"] * 3
    assert {log["workflowId"] for log in logs} == {error["workflowId"] for error in errors} == {workflow}
    assert all(log["logId"].startswith("log_") for log in logs)
    assert all(error["errorId"].startswith("err_") and error["message"] for error in errors)
    assert [log["executedAt"] for log in logs] == sorted((log["executedAt"] for log in logs), reverse=True)
    for what in ("logs", "errors"):
        pages = [
            (await room.good("GET", f"{path}/{what}{query}&limit=2&page={page}&order=asc"))[what] for page in range(3)
        ]
        assert [len(page) for page in pages] == [2, 1, 0]
        assert [*pages[0], *pages[1]] == (logs if what == "logs" else errors)[::-1]


@pytest.mark.parametrize("parameter", ["limit=31", "limit=0", "limit=x", "page=-1", "order=up"])
@pytest.mark.parametrize("what", ["logs", "errors"])
async def test_a_wrong_page_of_logs_is_400(room: Room, what: str, parameter: str) -> None:
    ids = await _stage(room)
    path = f"/workflows/{ids[WORKFLOW]}/{what}?userId={USER}&{parameter}"
    answer = await room.ask("GET", path)
    assert answer.status == 400
    assert answer.body["message"].startswith(parameter.partition("=")[0])


async def test_the_life_of_a_user(room: Room) -> None:
    user = await room.user("jane@example.com", fullName="Jane")
    changed = await room.good("PUT", "/users/jane@example.com", {"fullName": "Jane Smith"})
    assert (changed["userId"], changed["fullName"], changed["username"]) == (user, "Jane Smith", "jane@example.com")
    assert await room.good("DELETE", f"/users/{user}") == {"success": True, "message": "User deleted"}
    assert (await room.ask("GET", f"/users/{user}")).status == 404
    assert (await room.ask("DELETE", f"/users/{user}")).status == 404


async def test_the_life_of_an_installation(room: Room) -> None:
    workflow, user = await room.workflow("flow"), await room.user("jane")
    told = await room.good("POST", f"/workflows/{workflow}/install", {"userId": user})
    assert told["success"] is True
    (found,) = (await room.good("GET", f"/workflows?userId={user}"))["workflows"]
    assert (found["workflowId"], found["name"], found["version"], found["active"]) == (workflow, "flow", "1.0.0", True)
    assert (await room.ask("POST", f"/workflows/{workflow}/install", {"userId": user})).status == 409
    for active in (False, False, True, True):
        verb = "activate" if active else "deactivate"
        told = await room.good("PUT", f"/workflows/{verb}", {"userId": user, "workflowId": workflow})
        assert told == {"success": True, "message": f"Workflow {verb}d"}
        (found,) = (await room.good("GET", "/workflows?userId=jane"))["workflows"]
        assert found["active"] is active
    await room.good("DELETE", f"/workflows/{workflow}?userId={user}")
    assert (await room.good("GET", f"/workflows?userId={user}"))["workflows"] == []
    assert (await room.ask("DELETE", f"/workflows/{workflow}?userId={user}")).status == 404
    assert (await room.ask("PUT", "/workflows/deactivate", {"userId": user, "workflowId": workflow})).status == 404


async def test_what_is_offered_is_listed_behind_what_is_installed(room: Room) -> None:
    mine, user = await room.workflow("z-mine"), await room.user("jane")
    offered, hidden = await room.workflow("a-offered"), await room.workflow("hidden")
    both = [await room.integration(slug, "acme", offered, mine) for slug in ("one", "two")]
    assert len(both) == 2
    await room.good("PUT", "/workflows/activate", {"userId": user, "workflowId": mine})
    listed = await room.good("GET", f"/workflows?userId={user}")
    assert listed["workflows"] == listed["data"]
    installed, other = listed["workflows"]
    assert (installed["workflowId"], installed["installed"], installed["active"]) == (mine, True, True)
    assert other == {
        "workflowId": offered,
        "name": "a-offered",
        "installed": False,
        "active": False,
        "version": "1.0.0",
    }
    await room.good("POST", f"/workflows/{hidden}/install", {"userId": user})
    await room.good("PUT", "/workflows/deactivate", {"userId": user, "workflowId": hidden})
    listed = (await room.good("GET", "/workflows?userId=jane"))["workflows"]
    assert [(one["name"], one["installed"], one["active"]) for one in listed] == [
        ("z-mine", True, True),
        ("hidden", True, False),
        ("a-offered", False, False),
    ]
    assert (await room.ask("GET", "/workflows?userId=nobody")).status == 404


async def test_an_event_of_any_name(room: Room) -> None:
    name = "Order Created"
    workflow = await room.workflow("flow", "acme", name)
    user = await room.user()
    await room.good("PUT", "/workflows/activate", {"userId": user, "workflowId": workflow})
    for told in ("order created", name):
        await room.good("POST", "/run/event", {"userId": user, "event": told})
    await room.ended(user)
    (log,) = (await room.good("GET", f"/workflows/{workflow}/logs?userId={user}"))["logs"]
    assert log["status"] == "success"
    assert (await room.ask("POST", "/run/event", {"userId": user, "event": "x" * 201})).status == 400


async def test_a_deleted_user_s_runs_are_gone(room: Room) -> None:
    workflow, user = await room.workflow("flow", "acme", "order.created", WAIT), await room.user()
    await room.good("PUT", "/workflows/activate", {"userId": user, "workflowId": workflow})
    await room.good("POST", "/run/event", {"userId": user, "event": "order.created"})
    await room.good("DELETE", f"/users/{user}")
    async with asyncio.timeout(30):
        while await room.served.app.database.read(
            lambda conn: conn.execute("SELECT 1 FROM runs WHERE end_user_id = ?", (user,)).fetchone()
        ):
            await asyncio.sleep(0)


async def test_a_user_is_made_once_under_a_key(room: Room) -> None:
    headers = {"Idempotency-Key": "one"}
    made = [await room.good("POST", "/users", {"username": "jane"}, status=201, headers=headers) for _ in range(2)]
    assert made[0] == made[1]
    assert (await room.ask("POST", "/users", {"username": "joe"}, headers=headers)).status == 409


async def test_an_event_that_is_too_large(room: Room) -> None:
    user = await room.user()
    body = {"userId": user, "event": "e", "data": {"x": "x" * 3_000_000}}
    answer = await room.ask("POST", "/run/event", body)
    assert (answer.status, answer.body["error"]) == (413, "TOO_LARGE")
