"""Two companies with two users each: nothing of one is there for the other, whatever it is asked with."""

from __future__ import annotations

from typing import Any

from tests.wire.embedded.world import Room

NAMED: list[tuple[str, str, Any]] = [
    ("GET", "/users/{user}", None),
    ("PUT", "/users/{user}", {"fullName": "Changed"}),
    ("DELETE", "/users/{user}", None),
    ("GET", "/users/{user}/token", None),
    ("DELETE", "/users/{user}/logs", None),
    ("GET", "/integrations?userId={user}", None),
    ("GET", "/workflows?userId={user}", None),
    ("POST", "/run/event", {"userId": "{user}", "event": "order.created", "data": {}}),
    ("GET", "/workflows/{workflow}/logs?userId={user}", None),
    ("GET", "/workflows/{workflow}/errors?userId={user}", None),
    ("PUT", "/workflows/activate", {"userId": "{user}", "workflowId": "{workflow}"}),
    ("PUT", "/workflows/deactivate", {"userId": "{user}", "workflowId": "{workflow}"}),
    ("PUT", "/workflows/{workflow}/upgrade", {"userId": "{user}"}),
    ("POST", "/workflows/{workflow}/install", {"userId": "{user}"}),
    ("DELETE", "/workflows/{workflow}?userId={user}", None),
]


def _fill(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _fill(member, names) for name, member in value.items()}
    return value.format(**names) if isinstance(value, str) else value


async def test_another_companys_is_not_there(room: Room) -> None:
    mine = {"user": await room.user("mine"), "workflow": await room.workflow("my-flow")}
    theirs = {
        "user": await room.user("theirs", "other"),
        "workflow": await room.workflow("their-flow", "other"),
    }
    await room.good("PUT", "/workflows/activate", {"userId": "theirs", "workflowId": theirs["workflow"]}, key="other")
    before = await room.served.kinds()
    for method, path, body in NAMED:
        nowhere = {"user": "usr_" + "0" * 32, "workflow": "01a00000-0000-7000-8000-000000000000"}
        parts = [part for part in ("user", "workflow") if f"{{{part}}}" in path + str(body)]
        for part in parts:
            answers = []
            for names in (theirs, {"user": "theirs", "workflow": "their-flow"}, nowhere):
                there = {**mine, part: names[part]}
                answer = await room.ask(method, _fill(path, there), _fill(body, there))
                answers.append((answer.status, answer.body))
            assert answers[0][0] == 404
            assert answers == [answers[0]] * 3  # word for word what exists nowhere
        assert await room.served.kinds() == before


async def test_lists_have_the_companys_own(room: Room) -> None:
    made = {key: [await room.user(f"{name}", key) for name in ("jane", "joe")] for key in ("acme", "other")}
    await room.integration("shopify", "other")
    for key, users in made.items():
        assert [one["userId"] for one in (await room.good("GET", "/users", key=key))["users"]] == users[::-1]
        offered = (await room.good("GET", "/integrations?userId=jane", key=key))["integrations"]
        assert len(offered) == (key == "other")


async def test_an_event_is_its_users_alone(room: Room) -> None:
    flows = {key: await room.workflow("flow", key) for key in ("acme", "other")}
    users = {(key, name): await room.user(name, key) for key in flows for name in ("jane", "joe")}
    for key, name in users:
        await room.good("PUT", "/workflows/activate", {"userId": name, "workflowId": flows[key]}, key=key)
    await room.good("POST", "/run/event", {"userId": "jane", "event": "order.created", "data": {}})
    await room.ended(users["acme", "jane"])
    counts = {}
    for (key, name), user in users.items():
        found = await room.good("GET", f"/workflows/{flows[key]}/logs?userId={user}", key=key)
        counts[key, name] = len(found["logs"])
    assert counts == {("acme", "jane"): 1, ("acme", "joe"): 0, ("other", "jane"): 0, ("other", "joe"): 0}


async def test_a_purge_is_its_users_alone(room: Room) -> None:
    flow = await room.workflow("flow")
    users = {name: await room.user(name) for name in ("jane", "joe")}
    for name, user in users.items():
        await room.good("PUT", "/workflows/activate", {"userId": name, "workflowId": flow})
        await room.good("POST", "/run/event", {"userId": name, "event": "order.created", "data": {}})
        await room.ended(user)
    for _ in range(2):
        await room.good("DELETE", f"/users/{users['jane']}/logs")
    left = [len((await room.good("GET", f"/workflows/{flow}/logs?userId={user}"))["logs"]) for user in users.values()]
    assert left == [0, 1]
