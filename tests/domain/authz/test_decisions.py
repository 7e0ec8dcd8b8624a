"""What role, scopes, grants and teams come to: a table, and what must hold for all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloyd.domain.authz.service import Resource, authorize, decide
from alloyd.errors import AlloydError, Code
from alloyd.principal import (
    ACTIONS,
    OWNERS_OWN,
    RESOURCES,
    SCOPES,
    Grant,
    Kind,
    Principal,
    Role,
    Standing,
    TeamRole,
    system_principal,
)

ORG = "org"
CONTROL = frozenset({"control"})


def who(role: str, *grants: Grant, scopes: frozenset[str] = CONTROL, **more: object) -> Principal:
    made = Principal(Kind.USER, "u", ORG, Role(role), scopes, grants=grants)
    return replace(made, **more)  # type: ignore[arg-type]


def allow(action: str, kind: str = "", id_: str = "", org: str = ORG) -> Grant:
    return Grant(org, action, True, kind, id_)


def deny(action: str, kind: str = "", id_: str = "", org: str = ORG) -> Grant:
    return Grant(org, action, False, kind, id_)


FLOW = Resource("workflow", "w1", ORG)


@pytest.mark.parametrize(
    ("principal", "action", "resource", "allowed"),
    [
        (who("member"), "workflow.run", None, True),
        (who("viewer"), "workflow.run", None, False),
        # An allow goes beyond the role, a deny falls short of it, and the deny wins.
        (who("viewer", allow("workflow.run")), "workflow.run", None, True),
        (who("viewer", allow("workflow.*")), "workflow.write", None, True),
        (who("viewer", allow("workflow.run")), "workflow.write", None, False),
        (who("member", deny("workflow.run")), "workflow.run", None, False),
        (who("member", deny("workflow.*")), "workflow.read", FLOW, False),
        (who("member", deny("workflow.run")), "workflow.read", None, True),
        (who("member", deny("workflow.run"), allow("workflow.run")), "workflow.run", None, False),
        (who("member", allow("workflow.*", "workflow", "w1"), deny("workflow.run")), "workflow.run", FLOW, False),
        # A grant of one resource says nothing of the others, nor of what has none.
        (who("viewer", allow("workflow.run", "workflow", "w1")), "workflow.run", FLOW, True),
        (who("viewer", allow("workflow.run", "workflow", "w2")), "workflow.run", FLOW, False),
        (who("viewer", allow("workflow.run", "workflow", "w1")), "workflow.run", None, False),
        (who("member", deny("workflow.run", "workflow", "w1")), "workflow.run", FLOW, False),
        (who("member", deny("workflow.run", "workflow", "w1")), "workflow.run", None, True),
        (who("member", deny("workflow.run", "workflow", "w2")), "workflow.run", FLOW, True),
        (who("member", deny("workflow.run", "run", "w1")), "workflow.run", FLOW, True),
        (who("member", deny("workflow.run", "run", "r1")), "workflow.run", Resource("run", "r1", ORG), False),
        # One of all of a kind holds also where no resource is named.
        (who("viewer", allow("workflow.run", "workflow", "*")), "workflow.run", None, True),
        (who("member", deny("workflow.run", "workflow", "*")), "workflow.run", FLOW, False),
        (who("member", deny("workflow.run", "workflow", "*")), "workflow.run", Resource("run", "r1", ORG), True),
        # Scopes are needed whatever is granted.
        (who("viewer", allow("workflow.run"), scopes=frozenset({"workflows:run"})), "workflow.run", None, True),
        (who("viewer", allow("workflow.run"), scopes=frozenset({"runs:read"})), "workflow.run", None, False),
        # A grant of another organization is none.
        (who("viewer", allow("workflow.run", org="other")), "workflow.run", None, False),
        (who("member", deny("workflow.run", org="other")), "workflow.run", None, True),
        # Owners keep what they need to undo a deny.
        (who("owner", deny("grant.*")), "grant.write", None, True),
        (who("owner", deny("organization.update")), "organization.update", None, True),
        (who("owner", deny("member.*", "member", "*")), "member.update", None, True),
        (who("owner", deny("workflow.run")), "workflow.run", None, False),
        (who("admin", deny("grant.*")), "grant.write", None, False),
        # A role in a team holds for that team only, and never lowers.
        (
            who("viewer", team_roles=(TeamRole(ORG, "t1", Role.ADMIN),)),
            "team.update",
            Resource("team", "t1", ORG),
            True,
        ),
        (
            who("viewer", team_roles=(TeamRole(ORG, "t1", Role.ADMIN),)),
            "team.update",
            Resource("team", "t2", ORG),
            False,
        ),
        (who("viewer", team_roles=(TeamRole(ORG, "t1", Role.ADMIN),)), "team.create", None, False),
        (who("viewer", team_roles=(TeamRole(ORG, "t1", Role.ADMIN),)), "workflow.run", FLOW, False),
        (
            who("admin", team_roles=(TeamRole(ORG, "t1", Role.VIEWER),)),
            "team.update",
            Resource("team", "t1", ORG),
            True,
        ),
        (
            who("viewer", team_roles=(TeamRole("o2", "t1", Role.ADMIN),)),
            "team.update",
            Resource("team", "t1", ORG),
            False,
        ),
        (
            who("viewer", deny("team.update"), team_roles=(TeamRole(ORG, "t1", Role.ADMIN),)),
            "team.update",
            Resource("team", "t1", ORG),
            False,
        ),
        # Nobody's own.
        (who("owner", allow("workflow.read")), "workflow.fly", None, False),
        (who("owner", org_id=""), "workflow.read", None, False),
        (
            who("owner", allow("workflow.read", "workflow", "w1")),
            "workflow.read",
            Resource("workflow", "w1", "o2"),
            False,
        ),
    ],
)
def test_decision(principal: Principal, action: str, resource: Resource | None, allowed: bool) -> None:
    decision = decide(principal, action, resource)
    assert decision.allowed is allowed, decision.reason
    assert decision.reason
    if allowed:
        authorize(principal, action, resource)
    else:
        with pytest.raises(AlloydError) as caught:
            authorize(principal, action, resource)
        assert caught.value.code in (Code.FORBIDDEN, Code.NOT_FOUND)


def test_another_organizations_thing_is_answered_like_none() -> None:
    theirs = decide(who("owner"), "workflow.read", Resource("workflow", "w1", "elsewhere"))
    nobodys = decide(who("owner"), "workflow.read", Resource("workflow", "w2", ""))
    assert theirs == nobodys
    assert theirs.reason == "workflow not found"


def test_grants_follow_to_the_organization_one_moves_to() -> None:
    standings = (Standing(ORG, Role.VIEWER), Standing("o2", Role.VIEWER))
    principal = replace(who("viewer", allow("workflow.run", org="o2")), standings=standings)
    moved = principal.within("o2")
    assert moved is not None
    assert (principal.may("workflow.run"), moved.may("workflow.run")) == (False, True)


actions = st.sampled_from(sorted(ACTIONS))
ids = st.sampled_from(["", "a", "b"])
grants = st.builds(
    Grant,
    st.sampled_from([ORG, "other"]),
    actions | actions.map(lambda action: f"{action.partition('.')[0]}.*"),
    st.booleans(),
    st.sampled_from(["", *sorted(RESOURCES)]),
    st.sampled_from(["a", "b", "*"]),
)
principals = st.builds(
    lambda role, scopes, given, roles: Principal(
        Kind.USER, "u", ORG, role, frozenset(scopes), grants=tuple(given), team_roles=tuple(roles)
    ),
    st.sampled_from(Role),
    st.sets(st.sampled_from(sorted(SCOPES))),
    st.lists(grants, max_size=5),
    st.lists(st.builds(TeamRole, st.just(ORG), st.sampled_from(["a", "b"]), st.sampled_from(Role)), max_size=2),
)


@given(principals, actions, st.sampled_from(["", *sorted(RESOURCES)]), ids)
def test_a_deny_always_wins(principal: Principal, action: str, kind: str, id_: str) -> None:
    denied = replace(principal, grants=(*principal.grants, Grant(ORG, action, False)))
    protected = principal.role is Role.OWNER and action.partition(".")[0] in OWNERS_OWN
    assert not denied.may(action, kind, id_) or protected


@given(principals, actions, st.sampled_from(["", *sorted(RESOURCES)]), ids)
def test_an_allow_needs_the_scope_and_says_nothing_of_other_actions(
    principal: Principal, action: str, kind: str, id_: str
) -> None:
    allowed = replace(principal, grants=(*principal.grants, Grant(ORG, action, True)))
    has_scope = bool({principal.surface, ACTIONS[action].scope} & principal.scopes)
    assert not allowed.may(action, kind, id_) or has_scope
    for other in ACTIONS:
        if other != action:
            assert allowed.may(other, kind, id_) == principal.may(other, kind, id_)


@given(principals, actions, st.sampled_from(["", *sorted(RESOURCES)]), ids)
def test_may_is_what_decide_says(principal: Principal, action: str, kind: str, id_: str) -> None:
    assert principal.may(action, kind, id_) == principal.decide(action, kind, id_).allowed
    plain = replace(principal, grants=(), team_roles=())
    assert plain.may(action, kind, id_) == plain.decide(action, kind, id_).allowed


def test_the_system_is_not_refined() -> None:
    assert not system_principal(ORG).refined
    assert who("viewer", allow("run.read")).refined
