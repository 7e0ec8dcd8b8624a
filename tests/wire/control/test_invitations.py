from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.config import InvitationsConfig
from alloyd.kit.ids import new_id
from alloyd.principal import Role
from tests.app import Served, open_app
from tests.people import sign_in

DAY_MS = 24 * 3_600_000


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as opened:
        yield opened


async def invite(served: Served, email: str = "ada@example.com", key: str = "acme", **more: Any) -> Any:
    return await served.data("POST", "/invitations", {"email": email, "role": "member", **more}, 201, key=key)


async def role_of(served: Served, key: str) -> list[tuple[str, str]]:
    return [(own["slug"], own["role"]) for own in await served.data("GET", "/me/organizations", key=key)]


async def test_the_invited_user_becomes_a_member(served: Served) -> None:
    await sign_in(served, "ada")
    team = await served.data("POST", "/teams", {"slug": "core", "name": "Core"}, 201)
    made = await invite(served, "ADA@Example.com", role="admin", team_id=team["id"])
    assert (made["email"], made["status"], made["role"]) == ("ada@example.com", "pending", "admin")
    assert len(made["token"]) == 43
    assert await role_of(served, "ada") == []
    accepted = await served.data("POST", f"/invitations/{made['id']}/accept", key="ada")
    assert (accepted["status"], "token" in accepted) == ("accepted", False)
    assert await role_of(served, "ada") == [("acme", "admin")]
    assert [own["id"] for own in await served.data("GET", "/me/teams", key="ada")] == [team["id"]]
    kinds = [kind for kind in await served.kinds() if kind.startswith(("invitation.", "member.", "team.member"))]
    assert kinds[-4:] == ["invitation.created", "member.added", "team.member_added", "invitation.accepted"]


async def test_the_token_stands_for_the_email(served: Served) -> None:
    await sign_in(served, "bob")
    made = await invite(served)
    path = f"/invitations/{made['id']}/accept"
    for wrong in ({}, {"token": "x"}, {"token": made["token"][:-1]}, {"token": ""}, {"token": made["token"] + "x"}):
        assert (await served.ask("POST", path, wrong, key="bob"))[0] == 404
    assert (await served.ask("POST", path, {"token": "a" * 201}, key="bob"))[0] == 400
    await served.data("POST", path, {"token": made["token"]}, key="bob")
    assert await role_of(served, "bob") == [("acme", "member")]


async def test_to_everybody_else_it_is_not_there(served: Served) -> None:
    await sign_in(served, "bob", "other owner")
    made = await invite(served)
    for key in ("bob", "acme", "acme viewer", "other"):
        theirs = await served.ask("POST", f"/invitations/{made['id']}/accept", {"token": "wrong"}, key=key)
        nobodys = await served.ask("POST", f"/invitations/{new_id()}/accept", {"token": "wrong"}, key=key)
        assert (theirs[0], theirs[1]["error"]) == (nobodys[0], nobodys[1]["error"])
        assert (theirs[0], theirs[1]["error"]["message"]) == (404, "invitation not found")
    by_key = await served.ask("POST", f"/invitations/{made['id']}/accept", {"token": made["token"]}, key="acme")
    assert by_key[0] == 404  # a key is nobody who could be a member
    for method, path in (("GET", ""), ("POST", "/revoke")):
        theirs = await served.ask(method, f"/invitations/{made['id']}{path}", key="other")
        nobodys = await served.ask(method, f"/invitations/{new_id()}{path}", key="other")
        assert (theirs[0], theirs[1]["error"]) == (404, nobodys[1]["error"])


async def test_the_token_is_told_once_and_kept_nowhere(served: Served) -> None:
    made = await invite(served, idempotency_key="once")
    again = await invite(served, idempotency_key="once")
    assert {**made, "token": None} == again
    shown = await served.data("GET", f"/invitations/{made['id']}")
    assert "token" not in shown
    assert await served.data("GET", "/invitations") == [shown]
    assert await served.data("GET", f"/organizations/{served.orgs['acme']}/invitations") == [shown]
    rows = await served.app.database.read(
        lambda conn: [
            *conn.execute("SELECT * FROM invitations"),
            *conn.execute("SELECT * FROM events"),
            *conn.execute("SELECT * FROM idempotency_keys"),
        ]
    )
    assert made["token"] not in str([tuple(row) for row in rows])


BAD: list[tuple[dict[str, Any], int, str | None]] = [
    ({"role": "member"}, 400, "email"),
    ({"email": "nobody", "role": "member"}, 400, "email"),
    ({"email": "a@example.com", "role": "king"}, 400, "role"),
    ({"email": "a@example.com", "role": "owner"}, 403, "role"),
    ({"email": "a@example.com", "team_id": "nowhere"}, 404, None),
    ({"email": "a@example.com", "organization_id": "nowhere"}, 404, None),
]


async def test_bad_invitations_are_refused(served: Served) -> None:
    for body, status, field in BAD:
        got, envelope, _ = await served.ask("POST", "/invitations", body, key="acme admin")
        assert (got, envelope["error"].get("details")) == (status, {"field": field} if field else None), body
    assert await served.data("GET", "/invitations") == []


async def test_members_and_viewers_do_not_invite(served: Served) -> None:
    for role in ("member", "viewer"):
        body = {"email": "a@example.com", "role": "viewer"}
        assert (await served.ask("POST", "/invitations", body, key=f"acme {role}"))[0] == 403
        assert (await served.ask("GET", "/invitations", key=f"acme {role}"))[0] == 403


async def test_nobody_is_invited_twice_or_as_a_member(served: Served) -> None:
    await sign_in(served, "ada", "acme member")
    body = {"email": "ada@example.com", "role": "member"}
    assert (await served.ask("POST", "/invitations", body))[0] == 409
    made = await invite(served, "bob@example.com")
    again = {"email": "Bob@example.com", "role": "viewer"}
    assert (await served.ask("POST", "/invitations", again))[0] == 409
    await invite(served, "bob@example.com", key="other")
    await served.data("POST", f"/invitations/{made['id']}/revoke")
    await invite(served, "bob@example.com")


async def test_what_is_not_pending_any_more_is_refused(served: Served) -> None:
    await sign_in(served, "ada")
    revoked, expired = await invite(served), await invite(served, key="other")
    await served.data("POST", f"/invitations/{revoked['id']}/revoke")
    served.clock.advance(7 * DAY_MS)
    assert (await served.data("GET", f"/invitations/{expired['id']}", key="other"))["status"] == "expired"
    await sign_in(served, "bob")
    served.keys["ada"] = (await served.app.sessions.issue("ada@example.com", None, None)).token
    accepted = await invite(served)
    await served.data("POST", f"/invitations/{accepted['id']}/accept", key="ada")
    for made, state, key in (
        (revoked, "revoked", "acme"),
        (expired, "expired", "other"),
        (accepted, "accepted", "acme"),
    ):
        for path, who in (("accept", "ada"), ("revoke", key)):
            status, envelope, _ = await served.ask("POST", f"/invitations/{made['id']}/{path}", key=who)
            assert (status, envelope["error"]["message"]) == (409, f"the invitation is {state}")


async def test_an_invitation_can_be_accepted_until_its_time_is_over(served: Served) -> None:
    made = await invite(served)
    assert made["expires_at"] == "2026-01-08T00:00:00.000Z"
    served.clock.advance(7 * DAY_MS - 1)
    await sign_in(served, "ada")
    await served.data("POST", f"/invitations/{made['id']}/accept", key="ada")


async def test_accepting_is_repeated_by_its_key_only(served: Served) -> None:
    await sign_in(served, "ada")
    made = await invite(served)
    path, headers = f"/invitations/{made['id']}/accept", {"Idempotency-Key": "k"}
    first = await served.data("POST", path, headers=headers, key="ada")
    assert await served.data("POST", path, headers=headers, key="ada") == first
    assert (await served.ask("POST", path, key="ada"))[0] == 409
    await sign_in(served, "bob")
    assert (await served.ask("POST", path, headers=headers, key="bob"))[0] == 404


async def test_who_became_a_member_otherwise_cannot_accept(served: Served) -> None:
    ada = await sign_in(served, "ada")
    made = await invite(served, role="admin")
    acme = served.orgs["acme"]
    await served.app.database.write(lambda tx: served.app.users.members.add(tx, acme, ada.id, Role.VIEWER))
    assert (await served.ask("POST", f"/invitations/{made['id']}/accept", key="ada"))[0] == 409
    assert await role_of(served, "ada") == [("acme", "viewer")]


async def test_at_most_20_an_hour(served: Served) -> None:
    await invite(served, "first@example.com")
    served.clock.advance(60_000)
    for at in range(19):
        await invite(served, f"user{at}@example.com")
    body = {"email": "late@example.com", "role": "member"}
    status, envelope, headers = await served.ask("POST", "/invitations", body)
    assert (status, envelope["error"]["code"], headers["Retry-After"]) == (429, "rate_limited", "3540")
    await invite(served, "theirs@example.com", key="other")
    served.clock.advance(3_539_999)
    assert (await served.ask("POST", "/invitations", body))[2]["Retry-After"] == "1"
    served.clock.advance(1)
    await invite(served, "late@example.com")
    assert (await served.ask("POST", "/invitations", {**body, "email": "later@example.com"}))[0] == 429


async def test_at_most_100_pending(tmp_path: Path) -> None:
    bounds = InvitationsConfig(pending_max=2, per_hour_max=100)
    async with open_app(tmp_path, invitations=bounds) as served:
        first = await invite(served, "a@example.com")
        await invite(served, "b@example.com")
        body = {"email": "c@example.com", "role": "member"}
        status, _, headers = await served.ask("POST", "/invitations", body)
        assert (status, headers["Retry-After"]) == (429, str(7 * 86_400))
        await served.data("POST", f"/invitations/{first['id']}/revoke")
        await invite(served, "c@example.com")
        assert (await served.ask("POST", "/invitations", {**body, "email": "d@example.com"}))[0] == 429
        served.clock.advance(7 * DAY_MS)
        await invite(served, "d@example.com")  # the others are over


def test_the_bounds_are_the_contracts() -> None:
    bounds = InvitationsConfig()
    assert (bounds.pending_max, bounds.per_hour_max, bounds.ttl_days) == (100, 20, 7)


async def test_an_invitation_ends_with_its_inviter_and_its_team(served: Served) -> None:
    eve = await sign_in(served, "eve", "acme admin")
    team = await served.data("POST", "/teams", {"slug": "core", "name": "Core"}, 201)
    by_eve = await invite(served, "a@example.com", key="eve")
    into_team = await invite(served, "b@example.com", team_id=team["id"])
    stays = await invite(served, "c@example.com")
    await served.data("DELETE", f"/organizations/{served.orgs['acme']}/members/{eve.id}")
    await served.data("DELETE", f"/teams/{team['id']}")
    states = {each["id"]: each["status"] for each in await served.data("GET", "/invitations")}
    assert states == {by_eve["id"]: "revoked", into_team["id"]: "revoked", stays["id"]: "pending"}


async def test_an_admin_does_not_revoke_an_owners_invitation_of_an_owner(served: Served) -> None:
    made = await invite(served, role="owner")
    assert (await served.ask("POST", f"/invitations/{made['id']}/revoke", key="acme admin"))[0] == 403
    await served.data("POST", f"/invitations/{made['id']}/revoke")


async def test_an_archived_organization_takes_nobody(served: Served) -> None:
    await sign_in(served, "ada")
    made = await invite(served)
    await served.app.orgs.archive("acme")
    assert (await served.ask("POST", f"/invitations/{made['id']}/accept", key="ada"))[0] == 409


async def test_pages_of_invitations(served: Served) -> None:
    made = [(await invite(served, f"user{at}@example.com"))["id"] for at in range(3)]
    for stem in ("/invitations", f"/organizations/{served.orgs['acme']}/invitations"):
        got, url = [], f"{stem}?limit=2"
        while url:
            _, envelope, _ = await served.ask("GET", url)
            got += [item["id"] for item in envelope["data"]]
            url = envelope["links"].get("next", "").removeprefix("/v1")
        assert got == made[::-1]
