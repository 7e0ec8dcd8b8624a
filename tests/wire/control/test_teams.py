from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.domain.teams import service as teams_service
from alloyd.kit.ids import new_id
from alloyd.principal import Role
from tests.app import Served, open_app
from tests.people import sign_in


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as opened:
        yield opened


async def make_team(served: Served, slug: str = "core", key: str = "acme", **more: Any) -> Any:
    return await served.data("POST", "/teams", {"slug": slug, "name": slug.title(), **more}, 201, key=key)


async def test_a_team_is_made_shown_renamed_and_deleted(served: Served) -> None:
    made = await make_team(served)
    assert (made["slug"], made["name"], made["organization_id"]) == ("core", "Core", served.orgs["acme"])
    path = f"/teams/{made['id']}"
    assert await served.data("GET", path, key="acme viewer") == made
    assert await served.data("GET", f"/organizations/{served.orgs['acme']}/teams") == [made]
    renamed = await served.data("PATCH", path, {"name": "Kernel"})
    assert (renamed["name"], renamed["slug"]) == ("Kernel", "core")
    await served.data("PATCH", path, {}, 400)
    await served.data("DELETE", path)
    await served.data("GET", path, status=404)
    assert [kind for kind in await served.kinds() if kind.startswith("team.")] == [
        "team.created",
        "team.updated",
        "team.deleted",
    ]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"slug": "core"}, "name"),
    ({"name": "Core"}, "slug"),
    ({"slug": "No Slug", "name": "x"}, "slug"),
    ({"slug": "core", "name": ""}, "name"),
    ({"slug": "core", "name": "a\nb"}, "name"),
    ({"slug": 1, "name": "x"}, "slug"),
]


async def test_bad_teams_are_refused(served: Served) -> None:
    for body, field in BAD:
        status, envelope, _ = await served.ask("POST", "/teams", body)
        assert (status, envelope["error"]["details"]) == (400, {"field": field}), body


async def test_a_slug_is_unique_within_the_organization(served: Served) -> None:
    await make_team(served)
    assert (await served.ask("POST", "/teams", {"slug": "core", "name": "x"}))[0] == 409
    await make_team(served, key="other")
    second = await make_team(served, "shell")
    assert (await served.ask("PATCH", f"/teams/{second['id']}", {"slug": "core"}))[0] == 409


async def test_a_team_is_made_once(served: Served) -> None:
    first = await make_team(served, idempotency_key="k")
    assert await make_team(served, idempotency_key="k") == first
    assert (await served.ask("POST", "/teams", {"slug": "b2", "name": "b", "idempotency_key": "k"}))[0] == 409


async def test_number_of_teams_is_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teams_service, "TEAMS_PER_ORG_MAX", 1)
    await make_team(served)
    assert (await served.ask("POST", "/teams", {"slug": "more", "name": "x"}))[0] == 409


async def test_members_are_of_the_organization(served: Served) -> None:
    team = await make_team(served)
    ada = await sign_in(served, "ada", "acme viewer")
    bob = await sign_in(served, "bob", "other owner")
    path = f"/teams/{team['id']}/members"
    added = await served.data("POST", path, {"user_id": ada.id}, 201)
    assert (added["role"], added["team_role"], added["organization_role"]) == ("viewer", None, "viewer")
    assert added["email"] == "ada@example.com"
    outsider = await served.ask("POST", path, {"user_id": bob.id})
    nobody = await served.ask("POST", path, {"user_id": new_id()})
    assert outsider[0] == nobody[0] == 404
    assert outsider[1]["error"] == nobody[1]["error"]
    assert [each["user_id"] for each in await served.data("GET", path)] == [ada.id]
    assert [(own["id"], own["role"]) for own in await served.data("GET", "/me/teams", key="ada")] == [
        (team["id"], "viewer")
    ]
    assert await served.data("GET", "/me/teams", key="bob") == []
    assert await served.data("GET", "/me/teams") == []


async def test_a_team_role_holds_at_once_and_for_that_team_only(served: Served) -> None:
    team, second = await make_team(served), await make_team(served, "shell")
    ada = await sign_in(served, "ada", "acme viewer")
    eve = await sign_in(served, "eve", "acme viewer")
    path = f"/teams/{team['id']}"
    assert (await served.ask("PATCH", path, {"name": "x"}, key="ada"))[0] == 403
    await served.data("PUT", f"{path}/members/{ada.id}", {"role": "admin"})
    assert (await served.data("GET", "/me/teams", key="ada"))[0]["role"] == "admin"
    await served.data("PATCH", path, {"name": "Ada's"}, key="ada")
    await served.data("POST", f"{path}/members", {"user_id": eve.id, "role": "member"}, 201, key="ada")
    assert (await served.ask("PUT", f"{path}/members/{eve.id}", {"role": "owner"}, key="ada"))[0] == 403
    assert (await served.ask("PATCH", f"/teams/{second['id']}", {"name": "x"}, key="ada"))[0] == 403
    assert (await served.ask("POST", "/teams", {"slug": "t3", "name": "x"}, key="ada"))[0] == 403
    await served.data("PUT", f"{path}/members/{ada.id}", {})
    assert (await served.ask("PATCH", path, {"name": "x"}, key="ada"))[0] == 403


async def test_nobody_touches_a_team_role_above_their_own(served: Served) -> None:
    team = await make_team(served)
    ada = await sign_in(served, "ada", "acme viewer")
    path = f"/teams/{team['id']}/members/{ada.id}"
    await served.data("PUT", path, {"role": "owner"})
    assert (await served.ask("PUT", path, {"role": "viewer"}, key="acme admin"))[0] == 403
    assert (await served.ask("DELETE", path, key="acme admin"))[0] == 403
    await served.data("DELETE", path)
    assert (await served.ask("DELETE", path))[0] == 404
    assert [kind for kind in await served.kinds() if kind.startswith("team.member")] == [
        "team.member_added",
        "team.member_removed",
    ]


async def test_who_leaves_the_organization_leaves_its_teams(served: Served) -> None:
    team = await make_team(served)
    ada = await sign_in(served, "ada", "other viewer", "acme viewer")
    await served.data("PUT", f"/teams/{team['id']}/members/{ada.id}", {"role": "admin"})
    await served.data("DELETE", f"/organizations/{served.orgs['acme']}/members/{ada.id}")
    assert await served.data("GET", f"/teams/{team['id']}/members") == []
    assert await served.data("GET", "/me/teams", key="ada") == []
    acme = served.orgs["acme"]
    await served.app.database.write(
        lambda tx: served.app.users.members.add(tx, acme, ada.id, Role.VIEWER)  # back again, but in no team
    )
    assert await served.data("GET", "/me/teams", key="ada") == []


async def test_a_user_of_two_organizations_acts_where_the_team_is(served: Served) -> None:
    await sign_in(served, "ada", "acme viewer", "other admin")
    theirs = await make_team(served, key="ada", organization_id=served.orgs["other"])
    assert theirs["organization_id"] == served.orgs["other"]
    await served.data("PATCH", f"/teams/{theirs['id']}", {"name": "x"}, key="ada")
    assert (await served.ask("POST", "/teams", {"slug": "t2", "name": "x"}, key="ada"))[0] == 403
    named = {"slug": "t2", "name": "x", "organization_id": served.orgs["acme"]}
    assert (await served.ask("POST", "/teams", named, key="ada"))[0] == 403
    assert (await served.ask("POST", "/teams", {**named, "organization_id": new_id()}, key="ada"))[0] == 404
    assert (await served.ask("GET", f"/organizations/{served.orgs['other']}/teams", key="ada"))[0] == 200


async def test_pages_of_teams_and_members(served: Served) -> None:
    made = [(await make_team(served, f"team-{at}"))["id"] for at in range(3)]
    people = [await sign_in(served, f"user{at}", "acme") for at in range(3)]
    for person in people:
        await served.data("POST", f"/teams/{made[0]}/members", {"user_id": person.id}, 201)
        await served.data("PUT", f"/teams/{made[1]}/members/{people[0].id}", {})
    for path, field, wanted, key in (
        (f"/organizations/{served.orgs['acme']}/teams", "id", made[::-1], "acme"),
        (f"/teams/{made[0]}/members", "user_id", [each.id for each in people[::-1]], "acme"),
        ("/me/teams", "id", [made[1], made[0]], "user0"),
    ):
        got, url = [], f"{path}?limit=1"
        while url:
            _, envelope, _ = await served.ask("GET", url, key=key)
            got += [item[field] for item in envelope["data"]]
            url = envelope["links"].get("next", "").removeprefix("/v1")
        assert got == wanted


async def test_a_team_with_a_working_key_stays(served: Served) -> None:
    team = await make_team(served)
    issued = await served.data("POST", "/api-keys", {"name": "bound", "team_id": team["id"]}, 201)
    assert (await served.ask("DELETE", f"/teams/{team['id']}"))[0] == 409
    served.keys["bound"] = issued["key"]
    assert [own["id"] for own in await served.data("GET", "/me/teams", key="bound")] == [team["id"]]
    await served.data("DELETE", f"/api-keys/{issued['id']}")
    await served.data("DELETE", f"/teams/{team['id']}")
