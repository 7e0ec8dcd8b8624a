"""The older versions, as published clients call and read them."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.wire.embedded.dialect import DATED_VERSIONS
from tests.wire.embedded.world import FAIL, Room

OLD = "/2023-06"


@pytest.mark.parametrize("version", DATED_VERSIONS)
async def test_every_version_is_served(room: Room, version: str) -> None:
    prefix = f"/{version}"
    made = await room.good("POST", "/users", {"username": "jane"}, prefix=prefix)
    assert set(made) == {"userId"}
    found = await room.good("GET", "/users/jane", {}, prefix=prefix)
    assert (found["username"], found["userId"]) == ("jane", made["userId"])
    assert [one["userId"] for one in (await room.good("GET", "//users/", prefix=prefix))["data"]] == [made["userId"]]
    assert (await room.ask("GET", "/users", key=None, prefix=prefix)).status == 401
    assert (await room.ask("GET", "/nothing", prefix=prefix)).status == 404
    assert (await room.ask("PATCH", "/users", prefix=prefix)).status == 405


@pytest.mark.parametrize("version", ["2022-12", "2024-06", "2023-1", "2023", "2023-060"])
async def test_other_versions_are_not(room: Room, version: str) -> None:
    async with room.served.session.get(f"{room.served.url}/{version}/users") as response:
        assert response.status == 404


async def test_a_session_of_an_old_client(room: Room) -> None:
    workflow = await room.workflow("flow")
    await room.integration("shopify", "acme", workflow)
    user = (await room.good("POST", "/users/", {"username": "jane@example.com"}, prefix=OLD))["userId"]
    offered = (await room.good("GET", f"/integrations?userId={user}", prefix=OLD))["data"]
    assert [(one["integrationId"], one["installed"]) for one in offered] == [("int_shopify", False)]
    assert await room.good("PUT", "/workflows/activate", {"userId": user, "workflowName": "flow"}, prefix=OLD) == {
        "activated": True
    }
    (installed,) = (await room.good("GET", f"/workflows/?userId={user}", prefix=OLD))["data"]
    assert (installed["workflowId"], installed["active"]) == (workflow, True)
    await room.publish_again("flow")
    await room.release(workflow, "2.0.0")
    path = f"/workflows/{workflow}/upgrade?userId={user}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert await room.good("PUT", path, prefix=OLD, headers=headers) == {"upgraded": True}
    body = {"userId": user, "workflowId": workflow}
    assert await room.good("PUT", "/workflows/deactivate", body, prefix=OLD) == {"deactivated": True}
    assert (await room.good("GET", f"/users/{user}/token", prefix=OLD))["token"].count(".") == 2
    assert (await room.good("DELETE", f"/users/{user}/logs", prefix=OLD))["success"] is True


@pytest.mark.parametrize("data", [{"a": 1}, '{"a": 1}'])
async def test_logs_under_their_former_names(room: Room, data: Any) -> None:
    workflow, user = await room.workflow("fails", "acme", "go", FAIL), await room.user("jane")
    await room.good("PUT", "/workflows/activate", {"userId": user, "workflowId": workflow})
    told = await room.good("POST", "/run/event", {"userId": user, "event": "go", "data": data}, prefix=OLD)
    assert told["message"] == "Event successfully triggered"
    await room.ended(user)
    found, page = [], 0
    while part := (await room.good("GET", f"/workflows/{workflow}/logs?userId={user}&page={page}", prefix=OLD))["data"]:
        found, page = [*found, *part], page + 1
    (log,) = found
    assert (log["status"], log["finished"], log["executionId"]) == ("failure", True, log["logId"])
    assert log["startedAt"] == log["executedAt"]
    assert log["stoppedAt"] >= log["startedAt"]
    (error,) = (await room.good("GET", f"/workflows/{workflow}/errors?userId={user}", prefix=OLD))["data"]
    assert error["workflowId"] == workflow


@pytest.mark.parametrize("data", ["", "{}"])
async def test_text_without_data(room: Room, data: str) -> None:
    user = await room.user("jane")
    await room.good("POST", "/run/event", {"userId": user, "event": "go", "data": data}, prefix=OLD)


@pytest.mark.parametrize("data", ["[]", "7", "null", "text", '{"a":', '{"a":' * 70 + "1" + "}" * 70, 7, [1]])
async def test_text_that_is_no_object(room: Room, data: Any) -> None:
    user = await room.user("jane")
    answer = await room.ask("POST", "/run/event", {"userId": user, "event": "go", "data": data}, prefix=OLD)
    assert answer.status == 400
    assert answer.body["message"].startswith("data:")


async def test_a_browser_of_an_old_client(room: Room) -> None:
    user = await room.user("jane")
    headers = {"x-alloy-user-token": await room.token(user)}
    for prefix in (OLD, "/2024-03"):
        assert await room.good("GET", "/integrations", key=None, headers=headers, prefix=prefix) == {"data": []}
        assert (await room.ask("GET", "/users", key=None, headers=headers, prefix=prefix)).status == 401


async def test_one_key_of_idempotency_for_all_older_versions(room: Room) -> None:
    headers = {"Idempotency-Key": "one"}
    made = [
        await room.good("POST", "/users", {"username": "jane"}, headers=headers, prefix=f"/{version}")
        for version in DATED_VERSIONS
    ]
    assert all(one == made[0] for one in made)
