from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.domain.authz import service as authz_service
from alloyd.domain.keys.model import CreateKey
from alloyd.kit.ids import new_id
from alloyd.principal import ACTIONS, Role
from tests.app import Served, open_app
from tests.people import sign_in

ROLES = ["viewer", "member", "admin", "owner"]
STEP = {"key": "a", "operation": "workflow.noop"}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as opened:
        for role in ROLES:
            await opened.key(f"acme {role}")
        yield opened


async def id_of(served: Served, key: str) -> str:
    """The id of a key or user by the name that ``ask`` takes."""
    return str((await served.data("GET", "/me", key=key))["principal_id"])


async def grant(
    served: Served,
    whom: str,
    action: str,
    effect: str,
    resource: str | None = None,
    key: str = "acme",
    status: int = 201,
) -> Any:
    body = {"principal": await id_of(served, whom), "action": action, "effect": effect, "resource": resource}
    got, envelope, _ = await served.ask("POST", "/grants", body, key=key)
    assert got == status, envelope
    return envelope["data"]


async def make_team(served: Served, slug: str, key: str) -> int:
    return (await served.ask("POST", "/teams", {"slug": slug, "name": "x"}, key=key))[0]


async def test_an_allow_holds_at_once_and_until_it_is_taken_back(served: Served) -> None:
    assert await make_team(served, "t1", "acme viewer") == 403
    made = await grant(served, "acme viewer", "team.create", "allow")
    viewer = await id_of(served, "acme viewer")
    assert (made["principal"], made["principal_kind"], made["principal_id"]) == (f"api_key:{viewer}", "api_key", viewer)
    assert await make_team(served, "t1", "acme viewer") == 201
    assert await served.data("GET", f"/grants/{made['id']}") == made
    assert await served.data("GET", "/grants") == [made]
    await served.data("DELETE", f"/grants/{made['id']}")
    assert await make_team(served, "t2", "acme viewer") == 403
    assert await served.data("GET", "/grants") == []
    await served.data("DELETE", f"/grants/{made['id']}", status=404)
    assert [kind for kind in await served.kinds() if kind.startswith("grant.")] == ["grant.created", "grant.deleted"]


@pytest.mark.parametrize("whom", ["acme member", "ada"])
async def test_a_deny_wins_over_role_and_allow(served: Served, whom: str) -> None:
    await sign_in(served, "ada", "acme member")
    flow = await served.publish(STEP)
    body = {"workflow_definition_id": flow}
    assert (await served.ask("POST", "/workflow-runs", body, key=whom))[0] == 201
    await grant(served, whom, "workflow.run", "allow")
    made = await grant(served, whom, "workflow.*", "deny")
    assert (await served.ask("POST", "/workflow-runs", body, key=whom))[0] == 403
    assert (await served.ask("GET", "/workflow-definitions", key=whom))[0] == 403
    assert (await served.ask("GET", "/workflow-runs", key=whom))[0] == 200
    await served.data("DELETE", f"/grants/{made['id']}")
    assert (await served.ask("POST", "/workflow-runs", body, key=whom))[0] == 201


async def test_a_deny_of_one_workflow_holds_whichever_way_it_is_run(served: Served) -> None:
    flow, free = await served.publish(STEP), await served.publish(STEP, name="free")
    pending = await served.data("POST", "/workflow-runs", {"workflow_definition_id": flow}, 201, key="acme member")
    await grant(served, "acme member", "workflow.*", "deny", f"workflow:{flow}")
    for method, path, body in (
        ("GET", f"/workflow-definitions/{flow}", None),
        ("DELETE", f"/workflow-definitions/{flow}", None),
        ("POST", "/workflow-runs", {"workflow_definition_id": flow}),
        ("POST", f"/workflow-runs/{pending['id']}/start", None),
    ):
        assert (await served.ask(method, path, body, key="acme member"))[0] == 403, path
    schedule = {"workflow_id": flow, "cron": "0 * * * *", "timezone": "UTC"}
    assert (await served.ask("POST", "/schedules", schedule, key="acme member"))[0] == 403
    theirs = await served.data("POST", "/schedules", schedule, 201)
    assert (await served.ask("POST", f"/schedules/{theirs['id']}/run", key="acme member"))[0] == 403
    assert (await served.ask("POST", f"/schedules/{theirs['id']}/resume", key="acme member"))[0] == 403
    assert (await served.ask("POST", f"/schedules/{theirs['id']}/pause", key="acme member"))[0] == 200
    assert (await served.trigger(flow, key="acme member"))[0] == 403
    assert (await served.trigger(free, key="acme member"))[0] == 200
    assert (await served.ask("GET", f"/workflow-definitions/{free}", key="acme member"))[0] == 200
    assert (await served.trigger(flow))[0] == 200
    done = (await served.trigger(flow))[1]["data"]["runId"]
    assert (await served.ask("POST", f"/workflow-runs/{done}/retry", {"from": "start"}, key="acme member"))[0] == 403


async def test_an_allow_of_one_thing_is_of_that_only(served: Served) -> None:
    first = await served.data("POST", "/teams", {"slug": "t1", "name": "x"}, 201)
    second = await served.data("POST", "/teams", {"slug": "t2", "name": "x"}, 201)
    await grant(served, "acme viewer", "team.update", "allow", f"team:{first['id']}")
    assert (await served.ask("PATCH", f"/teams/{first['id']}", {"name": "y"}, key="acme viewer"))[0] == 200
    assert (await served.ask("PATCH", f"/teams/{second['id']}", {"name": "y"}, key="acme viewer"))[0] == 403


async def test_a_grant_does_not_stand_in_for_a_scope(served: Served) -> None:
    operator = await served.principal()
    issued = await served.app.keys.create(operator, CreateKey("fine", ("runs:read",), Role.VIEWER))
    assert issued.raw is not None
    served.keys["fine"] = issued.raw
    await grant(served, "fine", "team.create", "allow")
    assert await make_team(served, "t1", "fine") == 403


@pytest.mark.parametrize("granter", ROLES)
async def test_an_allow_never_exceeds_what_its_granter_has(served: Served, granter: str) -> None:
    viewer = await id_of(served, "acme viewer")
    for action, rule in ACTIONS.items():
        body = {"principal": viewer, "action": action, "effect": "allow"}
        status = (await served.ask("POST", "/grants", body, key=f"acme {granter}"))[0]
        may = Role(granter).includes(Role.ADMIN) and Role(granter).includes(rule.role)
        assert status == (201 if may else 403), action


async def test_what_was_granted_is_not_passed_on(served: Served) -> None:
    await grant(served, "acme admin", "organization.update", "allow")
    await grant(served, "acme viewer", "organization.update", "allow", key="acme admin", status=403)
    await grant(served, "acme viewer", "organization.*", "allow", key="acme admin", status=403)
    await grant(served, "acme admin", "team.create", "deny")
    await grant(served, "acme viewer", "team.create", "allow", key="acme admin", status=403)
    await grant(served, "acme member", "grant.write", "allow")
    await grant(served, "acme viewer", "workflow.run", "allow", key="acme member")
    await grant(served, "acme viewer", "team.create", "allow", key="acme member", status=403)


async def test_nobody_acts_against_their_equals(served: Served) -> None:
    await served.key("acme admin")
    await sign_in(served, "ada", "acme admin")
    await grant(served, "ada", "workflow.run", "deny", key="acme admin", status=403)
    await grant(served, "acme owner", "workflow.run", "deny", key="acme admin", status=403)
    await grant(served, "acme owner", "workflow.run", "allow", key="acme admin", status=403)
    made = await grant(served, "ada", "workflow.run", "deny")
    assert (await served.ask("DELETE", f"/grants/{made['id']}", key="ada"))[0] == 403
    assert (await served.ask("DELETE", f"/grants/{made['id']}", key="acme admin"))[0] == 403
    await served.data("DELETE", f"/grants/{made['id']}")


async def test_the_last_owner_is_never_locked_out(served: Served) -> None:
    await sign_in(served, "ada", "acme owner")
    for action in ("grant.write", "grant.*", "organization.*", "member.update"):
        await grant(served, "ada", action, "deny", status=409)
    made = await grant(served, "ada", "workflow.run", "deny")
    assert (await served.ask("POST", "/workflow-runs", {"workflow_definition_id": "x"}, key="ada"))[0] == 403
    await served.data("DELETE", f"/grants/{made['id']}", key="ada")
    # A member who is denied it and becomes owner later is an owner.
    eve = await sign_in(served, "eve", "acme admin")
    await grant(served, "eve", "grant.*", "deny")
    assert (await served.ask("GET", "/grants", key="eve"))[0] == 403
    await served.data("PATCH", f"/organizations/{served.orgs['acme']}/members/{eve.id}", {"role": "owner"})
    assert (await served.ask("GET", "/grants", key="eve"))[0] == 200


async def test_a_new_key_is_no_way_around_a_deny(served: Served) -> None:
    await sign_in(served, "ada", "acme admin")
    await grant(served, "ada", "team.create", "deny")
    await grant(served, "ada", "organization.update", "allow")
    issued = await served.data("POST", "/api-keys", {"name": "mine", "role": "admin"}, 201, key="ada")
    served.keys["mine"] = issued["key"]
    assert await make_team(served, "t1", "mine") == 403
    assert (await served.ask("GET", "/grants", key="mine"))[0] == 200
    found = await served.data("GET", f"/grants?principal=api_key:{issued['id']}")
    assert [(each["action"], each["effect"]) for each in found] == [("team.create", "deny")]
    for of in ("mine", "acme member"):
        rotated = await served.data("POST", f"/api-keys/{await id_of(served, of)}/rotate", {}, 201, key="ada")
        served.keys["rotated"] = rotated["key"]
        assert await make_team(served, "t1", "rotated") == 403
        found = await served.data("GET", f"/grants?principal={rotated['id']}")
        assert [(each["action"], each["effect"]) for each in found] == [("team.create", "deny")]


BAD: list[tuple[dict[str, Any], int, str | None]] = [
    ({"principal": None}, 400, "principal"),
    ({"principal": ""}, 400, "principal"),
    ({"principal": "team:x"}, 400, "principal"),
    ({"principal": "user:"}, 400, "principal"),
    ({"principal": "user:nobody"}, 404, None),
    ({"principal": "nobody"}, 404, None),
    ({"action": "workflow"}, 400, "action"),
    ({"action": "*"}, 400, "action"),
    ({"action": "workflow.fly"}, 400, "action"),
    ({"action": "work.*"}, 400, "action"),
    ({"effect": "maybe"}, 400, "effect"),
    ({"effect": None}, 400, "effect"),
    ({"resource": "workflow"}, 400, "resource"),
    ({"resource": "workflow:"}, 400, "resource"),
    ({"resource": ":x"}, 400, "resource"),
    ({"resource": "spaceship:x"}, 400, "resource"),
    ({"resource": "workflow:\u0000"}, 400, "resource"),
    ({"organization_id": "nowhere"}, 404, None),
]


async def test_bad_grants_are_refused(served: Served) -> None:
    good = {"principal": await id_of(served, "acme member"), "action": "workflow.run", "effect": "allow"}
    for change, status, field in BAD:
        got, envelope, _ = await served.ask("POST", "/grants", good | change)
        assert (got, envelope["error"].get("details")) == (status, {"field": field} if field else None), change
    assert await served.data("GET", "/grants") == []


async def test_principals_of_elsewhere_are_not_there(served: Served) -> None:
    await sign_in(served, "bob", "other")
    for principal in (await id_of(served, "other"), await id_of(served, "bob"), new_id()):
        for text in (principal, f"user:{principal}", f"api_key:{principal}"):
            status, envelope, _ = await served.ask(
                "POST", "/grants", {"principal": text, "action": "workflow.run", "effect": "allow"}
            )
            assert (status, envelope["error"]["message"]) == (404, "principal not found")


async def test_the_same_grant_is_made_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await grant(served, "acme viewer", "workflow.run", "allow")
    await grant(served, "acme viewer", "workflow.run", "allow", status=409)
    body = {"principal": await id_of(served, "acme viewer"), "action": "run.cancel", "effect": "allow"}
    keyed = {**body, "idempotency_key": "k"}
    assert await served.data("POST", "/grants", keyed, 201) == await served.data("POST", "/grants", keyed, 201)
    monkeypatch.setattr(authz_service, "GRANTS_PER_PRINCIPAL_MAX", 2)
    await grant(served, "acme viewer", "run.retry", "allow", status=409)


async def test_allows_end_with_the_membership_and_denies_do_not(served: Served) -> None:
    ada = await sign_in(served, "ada", "acme viewer")
    await grant(served, "ada", "team.create", "allow")
    await grant(served, "ada", "run.read", "deny")
    acme = served.orgs["acme"]
    await served.data("DELETE", f"/organizations/{acme}/members/{ada.id}")
    await served.app.database.write(lambda tx: served.app.users.members.add(tx, acme, ada.id, Role.VIEWER))
    assert await make_team(served, "t1", "ada") == 403
    assert (await served.ask("GET", "/workflow-runs", key="ada"))[0] == 403


async def test_grants_hold_in_their_organization_only(served: Served) -> None:
    await sign_in(served, "ada", "acme viewer", "other viewer")
    await grant(served, "ada", "team.create", "allow")
    body = {"slug": "t1", "name": "x", "organization_id": served.orgs["other"]}
    assert (await served.ask("POST", "/teams", body, key="ada"))[0] == 403
    assert (await served.ask("POST", "/teams", body | {"organization_id": served.orgs["acme"]}, key="ada"))[0] == 201
    shown = {row["organization_id"]: row["actions"] for row in await served.data("GET", "/me/permissions", key="ada")}
    assert "team.create" in shown[served.orgs["acme"]]
    assert "team.create" not in shown[served.orgs["other"]]


async def test_open_streams_end_when_something_is_taken_away(served: Served) -> None:
    ada = await sign_in(served, "ada", "acme viewer")
    reader = served.app.hub.open([served.orgs["acme"]], tag=ada.id)
    await grant(served, "ada", "event.read", "deny")
    assert reader.closed is not None
    status, _, _ = await served.ask("GET", "/events/stream", key="ada")
    assert status == 403


async def test_grants_of_another_organization_are_not_there(served: Served) -> None:
    made = await grant(served, "acme viewer", "run.cancel", "allow")
    for method in ("GET", "DELETE"):
        theirs = await served.ask(method, f"/grants/{made['id']}", key="other")
        nobodys = await served.ask(method, f"/grants/{new_id()}", key="other")
        assert (theirs[0], theirs[1]["error"]) == (404, nobodys[1]["error"])
    assert await served.data("GET", "/grants", key="other") == []
