from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.domain.keys.model import CreateKey
from alloyd.kit.ids import new_id
from alloyd.principal import ACTIONS, Role
from tests.app import Served, open_app
from tests.people import sign_in

NO_ACTION = {"allowed": False, "reason": "there is no such action"}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as opened:
        await opened.key("acme")
        yield opened


async def check(served: Served, key: str = "acme", **body: Any) -> Any:
    answer = await served.data("POST", "/authz/check", body, key=key)
    assert set(answer) == {"allowed", "reason"}
    assert answer["reason"]
    return answer


@pytest.mark.parametrize("role", list(Role))
async def test_every_action_for_every_role(served: Served, role: Role) -> None:
    key = f"acme {role}"
    asked = {"checks": [{"action": action} for action in ACTIONS]}
    got = await served.data("POST", "/authz/check-batch", asked, key=key)
    assert [each["allowed"] for each in got] == [role.includes(rule.role) for rule in ACTIONS.values()]
    permissions = (await served.data("GET", "/me/permissions", key=key))[0]["actions"]
    allowed = [action for action, each in zip(ACTIONS, got, strict=True) if each["allowed"]]
    assert sorted(permissions) == sorted(allowed)


async def test_both_ways_of_naming_a_resource(served: Served) -> None:
    acme = served.orgs["acme"]
    one = await check(served, action="organization.read", resource=f"organization:{acme}")
    assert one == {"allowed": True, "reason": "the role owner allows it"}
    assert one == await check(served, action="organization.read", resource_type="organization", resource_id=acme)
    assert (await check(served, action="team.create", resource="team:*"))["allowed"]
    assert await check(served, "acme viewer", action="team.create") == {
        "allowed": False,
        "reason": "the role viewer is not enough: admin is needed",
    }


async def test_the_reason_of_a_scope(served: Served) -> None:
    issued = await served.app.keys.create(await served.principal(), CreateKey("fine", ("runs:read",), Role.ADMIN))
    served.keys["fine"] = issued.raw or ""
    assert (await check(served, "fine", action="run.read"))["allowed"]
    assert await check(served, "fine", action="team.create") == {
        "allowed": False,
        "reason": "the scopes of this credential do not hold organizations:write",
    }


async def test_grants_and_team_roles_count(served: Served) -> None:
    ada = await sign_in(served, "ada", "acme viewer")
    first = await served.data("POST", "/teams", {"slug": "t1", "name": "x"}, 201)
    second = await served.data("POST", "/teams", {"slug": "t2", "name": "x"}, 201)
    resource = f"team:{second['id']}"
    asked = {"action": "team.update", "resource": resource}
    assert not (await check(served, "ada", **asked))["allowed"]
    grant = {"principal": ada.id, "action": "team.update", "effect": "allow", "resource": resource}
    await served.data("POST", "/grants", grant, 201)
    assert await check(served, "ada", **asked) == {"allowed": True, "reason": "a grant allows it"}
    await served.data("POST", "/grants", grant | {"effect": "deny"}, 201)
    assert await check(served, "ada", **asked) == {"allowed": False, "reason": "a grant denies it"}
    await served.data("PUT", f"/teams/{first['id']}/members/{ada.id}", {"role": "admin"})
    assert (await check(served, "ada", action="team.update", resource=f"team:{first['id']}"))["allowed"]


async def test_what_is_elsewhere_is_answered_like_what_is_nowhere(served: Served) -> None:
    await served.key("other")
    team = await served.data("POST", "/teams", {"slug": "t1", "name": "x"}, 201, key="other")
    invitation = await served.data(
        "POST", "/invitations", {"email": "a@example.com", "role": "viewer"}, 201, key="other"
    )
    flow = await served.publish({"key": "a", "operation": "workflow.noop"}, slug="other")
    run = await served.data("POST", "/workflow-runs", {"workflow_definition_id": flow}, 201, key="other")
    key = (await served.data("GET", "/me", key="other"))["principal_id"]
    schedule = {"workflow_id": flow, "cron": "0 * * * *", "timezone": "UTC"}
    planned = await served.data("POST", "/schedules", schedule, 201, key="other")
    theirs = {
        "schedule": (planned["id"], "schedule.read"),
        "organization": (served.orgs["other"], "organization.read"),
        "team": (team["id"], "team.read"),
        "invitation": (invitation["id"], "invitation.revoke"),
        "api_key": (key, "api_key.read"),
        "workflow": (flow, "workflow.run"),
        "run": (run["id"], "run.read"),
    }
    for kind, (id_, action) in theirs.items():
        assert (await check(served, "other", action=action, resource=f"{kind}:{id_}"))["allowed"], kind
        answer = await check(served, action=action, resource=f"{kind}:{id_}")
        assert answer == await check(served, action=action, resource=f"{kind}:{new_id()}"), kind
        assert answer == await check(served, action=action, resource=f"{kind}:x"), kind
        assert answer == {"allowed": False, "reason": f"{kind} not found"}


async def test_a_user_of_two_organizations_is_asked_where_the_thing_is(served: Served) -> None:
    await sign_in(served, "ada", "acme viewer", "other admin")
    acme, other = served.orgs["acme"], served.orgs["other"]
    assert (await check(served, "ada", action="team.create", resource=f"organization:{other}"))["allowed"]
    assert not (await check(served, "ada", action="team.create", resource=f"organization:{acme}"))["allowed"]
    assert (await check(served, "ada", action="team.create", organization_id=other))["allowed"]
    assert not (await check(served, "ada", action="team.create"))["allowed"]
    named = await check(served, "ada", action="team.create", organization_id=acme, resource=f"organization:{other}")
    assert named == {"allowed": False, "reason": "organization not found"}
    for unknown in (new_id(), "x"):
        assert (await served.ask("POST", "/authz/check", {"action": "run.read", "organization_id": unknown}))[0] == 404


async def test_a_user_of_no_organization_may_nothing(served: Served) -> None:
    await sign_in(served, "ada")
    for action in ACTIONS:
        assert not (await check(served, "ada", action=action))["allowed"]
    assert (await served.ask("GET", "/workflow-definitions", key="ada"))[0] == 403


async def test_unknown_words_are_a_no(served: Served) -> None:
    for action in ("workflow.fly", "workflow", "*", "workflow.*", "\u00e4"):
        assert await check(served, action=action, resource="workflow:x") == NO_ACTION
    assert await check(served, action="run.read", resource="spaceship:x") == {
        "allowed": False,
        "reason": "there is no such type of resource",
    }


async def test_a_batch_is_answered_in_order(served: Served) -> None:
    checks = [{"action": action} for action in ("run.read", "nonsense", "run.cancel", "team.create")] * 50
    got = await served.data("POST", "/authz/check-batch", {"checks": checks}, key="acme member")
    assert [each["allowed"] for each in got] == [True, False, True, False] * 50
    assert await served.data("POST", "/authz/check-batch", {"checks": []}) == []


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({}, "action"),
    ({"action": ""}, "action"),
    ({"action": 1}, "action"),
    ({"action": "a" * 301}, "action"),
    ({"action": "run.read", "resource": "run"}, "resource"),
    ({"action": "run.read", "resource": "run:"}, "resource"),
    ({"action": "run.read", "resource": ":x"}, "resource"),
    ({"action": "run.read", "resource": "run:\u0007"}, "resource"),
    ({"action": "run.read", "resource_type": "run"}, "resource_id"),
    ({"action": "run.read", "resource_id": "x"}, "resource_type"),
    ({"action": "run.read", "resource": "run:x", "resource_type": "run", "resource_id": "x"}, "resource"),
]


async def test_malformed_checks_are_named(served: Served) -> None:
    good = {"action": "run.read"}
    for body, field in MALFORMED:
        status, envelope, _ = await served.ask("POST", "/authz/check", body)
        assert (status, envelope["error"]["details"]) == (400, {"field": field}), body
        status, envelope, _ = await served.ask("POST", "/authz/check-batch", {"checks": [good, good, good, body]})
        assert (status, envelope["error"]["details"]) == (400, {"field": f"checks[3].{field}"}), body
    for batch in ({}, {"checks": None}, {"checks": {}}, {"checks": [good] * 201}):
        status, envelope, _ = await served.ask("POST", "/authz/check-batch", batch)
        assert (status, envelope["error"]["details"]) == (400, {"field": "checks"})
