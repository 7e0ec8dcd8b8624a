from __future__ import annotations

import itertools

import pytest

from alloyd.domain.authz.service import OPERATOR_ONLY, Resource, authorize
from alloyd.errors import AlloydError, Code
from alloyd.principal import ACTIONS, SCOPES, Kind, Principal, Role, system_principal
from alloyd.wire.route import OPERATOR

ROLES = ["viewer", "member", "admin", "owner"]


def _principal(role: str, scope: str, surface: str, kind: Kind = Kind.KEY) -> Principal:
    return Principal(kind, "key", "org", Role(role), frozenset({scope}), surface=surface)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("surface", ["private", "control"])
def test_every_role_and_scope(action: str, surface: str) -> None:
    rule = ACTIONS[action]
    for role, scope in itertools.product(ROLES, sorted(SCOPES)):
        high_enough = ROLES.index(role) >= ROLES.index(rule.role.value)
        wanted = high_enough and scope in (surface, rule.scope)
        principal = _principal(role, scope, surface)
        if wanted:
            authorize(principal, action)
            continue
        with pytest.raises(AlloydError) as caught:
            authorize(principal, action)
        assert caught.value.code is Code.FORBIDDEN, (role, scope)


@pytest.mark.parametrize("action", ["", "storage", "storage.*", "api_key.grant", "public", "signed-in", "*"])
def test_unknown_action_is_refused_to_everybody(action: str) -> None:
    with pytest.raises(AlloydError) as caught:
        authorize(system_principal("org"), action)
    assert caught.value.code is Code.FORBIDDEN


def test_only_the_operator_does_what_is_the_operators() -> None:
    assert OPERATOR_ONLY == OPERATOR
    for kind in Kind:
        principal = Principal(kind, "x", "org", Role.OWNER, SCOPES, platform_admin=True)
        if kind is Kind.OPERATOR:
            authorize(principal, OPERATOR)
            continue
        with pytest.raises(AlloydError) as caught:
            authorize(principal, OPERATOR)
        assert caught.value.code is Code.FORBIDDEN


def test_resource_of_another_organization_is_not_there() -> None:
    principal = _principal("owner", "control", "control")
    authorize(principal, "api_key.read", Resource("api key", "k", "org"))
    with pytest.raises(AlloydError) as caught:
        authorize(principal, "api_key.read", Resource("api key", "k", "elsewhere"))
    assert (caught.value.code, caught.value.message) == (Code.NOT_FOUND, "api key not found")


def test_role_is_asked_before_the_resource() -> None:
    with pytest.raises(AlloydError) as caught:
        authorize(_principal("viewer", "control", "control"), "api_key.read", Resource("api key", "k", "elsewhere"))
    assert caught.value.code is Code.FORBIDDEN
