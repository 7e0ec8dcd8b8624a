"""What clients in the field send, and get served: slashes, escapes, blanks, bodies nobody asked for."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.wire.embedded.world import PREFIX, Room

NAMES = [
    "jane@example.com",
    "jane+tag@example.com",
    "a/b",
    "100%",
    "%41",
    "a%2Fb",
    "ü ñ",
    "x" * 255,
    "a?b#c",
    "activate",
    ".",
    "logs",
]


@pytest.mark.parametrize("path", ["/users", "/users/", "//users", "/users//", "///users///", "/users/?page=&limit="])
async def test_slashes_and_blanks(room: Room, path: str) -> None:
    user = await room.user()
    assert [found["userId"] for found in (await room.good("GET", path))["users"]] == [user]


@pytest.mark.parametrize("path", ["//users//usr//token", "/users/{}/token/", "/users//{}//token"])
async def test_slashes_around_a_parameter(room: Room, path: str) -> None:
    await room.user("usr")
    assert (await room.good("GET", path.format("usr")))["token"].count(".") == 2


async def test_slashes_before_the_prefix(room: Room) -> None:
    await room.user()
    assert len((await room.good("GET", "/users", prefix=f"/{PREFIX}"))["users"]) == 1


async def test_slashes_with_a_body(room: Room) -> None:
    made = await room.good("POST", "//users//", {"username": "jane", "extra": {"deep": [1]}}, status=201)
    assert made["username"] == "jane"


async def test_usernames_in_paths_are_decoded_once(room: Room) -> None:
    for name in NAMES:
        user = await room.user(name)
        for escaped in {quote(name, safe=""), quote(name, safe="@+").replace("/", "%2F")}:
            if name == "." and escaped == ".":
                continue  # which is no name in a path
            found = await room.good("GET", f"/users/{escaped}")
            assert (found["userId"], found["username"]) == (user, name)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_get_with_a_body(room: Room, method: str) -> None:
    user = await room.user()
    for body in (b"{}", b"null", b"not json"):
        headers = {"Content-Type": "application/json"}
        assert (await room.ask(method, f"/users/{user}", body, headers=headers)).status == 200


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "nonsense", ""])
@pytest.mark.parametrize("path", ["/workflows/{}/upgrade?userId=user-123", "/workflows/{}/upgrade/?userId=user-123&x"])
async def test_an_upgrade_without_a_body(room: Room, kind: str, path: str) -> None:
    await room.user()
    workflow = await room.workflow()
    await room.good("PUT", "/workflows/activate", {"userId": "user-123", "workflowId": workflow})
    told = await room.good("PUT", path.format(workflow), headers={"Content-Type": kind})
    assert told == {"success": True, "message": "Workflow upgraded to version 1.0.0"}


async def test_an_upgrade_whose_body_is_null(room: Room) -> None:
    await room.user()
    workflow = await room.workflow()
    await room.good("PUT", "/workflows/activate", {"userId": "user-123", "workflowId": workflow})
    headers = {"Content-Type": "application/json"}
    await room.good("PUT", f"/workflows/{workflow}/upgrade?userId=user-123", b"null", headers=headers)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_the_case_of_the_scheme(room: Room, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {await room.key()}", "x-api-version": "2025-09"}
    await room.good("GET", "/users", key=None, headers=headers)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "//nothing//here", 404),
        ("GET", "", 404),
        ("PATCH", "/users", 405),
        ("PATCH", "//users//x", 405),
        ("GET", "/workflows/activate", 405),
        ("DELETE", "/run/event", 405),
        ("OPTIONS", "/users", 405),
        ("GET", "/users/%ff", 400),
        ("GET", "/users/%00", 400),
        ("GET", "/users/%zz", 400),
    ],
)
async def test_what_is_not_served(room: Room, method: str, path: str, status: int) -> None:
    answer = await room.ask(method, path)
    assert answer.status == status
    assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("parameter", ["page=-1", "page=x", "limit=0", "limit=201", "page=null"])
async def test_a_wrong_page_is_named(room: Room, parameter: str) -> None:
    answer = await room.ask("GET", f"/users?{parameter}")
    assert answer.status == 400
    assert answer.body["message"].startswith(parameter.partition("=")[0])


async def test_pages_end_with_an_empty_one(room: Room) -> None:
    made = [await room.user(f"user-{number}") for number in range(5)]
    found, page = [], 0
    while users := (await room.good("GET", f"/users?limit=2&page={page}"))["users"]:
        assert len(users) <= 2
        found += [user["userId"] for user in users]
        page += 1
    assert found == made[::-1]
    assert page == 3
