"""Every route declares who may call it, and what is open to everybody is listed here."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

# (module, path) of every route without authentication.
OPEN = {
    ("alloyd.wire.system.health", "'/healthz'"),
    ("alloyd.wire.system.health", "'/readyz'"),
    ("alloyd.wire.system.app", "'/openapi.json'"),
    ("alloyd.wire.control.hooks", "'/hooks/{workflow_id}'"),  # the signature is the credential
    ("alloyd.wire.control.credentials", "'/credentials/oauth/callback'"),  # the state is the credential
    ("alloyd.wire.control.sessions", "'/auth/token'"),  # the password is the credential; throttled
    ("alloyd.wire.objects.download", "'/download'"),  # the key is the credential; misses are throttled
    ("alloyd.wire.objects.download", "'/{key:.+}'"),  # the signature is the credential
    ("alloyd.wire.system.reference.app", "''"),  # the program's own page and its files
    ("alloyd.wire.system.reference.app", "f'/{name}'"),
    ("alloyd.wire.ui.files", "'/'"),  # the page's files show nothing by themselves
    ("alloyd.wire.ui.files", "f'/{name}'"),
    ("alloyd.wire.ui.session", "'/session'"),  # POST: the password is the credential; throttled
    ("alloyd.wire.ui.session", "'/setup'"),  # the link's token is the credential; throttled
    ("alloyd.wire.ui.session", "'/state'"),  # whether there is a user, and the version
    ("alloyd.wire.system.metrics", "'/metrics'"),  # asks itself for loopback or a token
}

_CONSTANTS = ("'", "PUBLIC", "SIGNED_IN", "OPERATOR", "PLATFORM_ADMIN", "Action.", "principal.")


def route_calls(source) -> Iterator[tuple[ast.Call, str, str | None]]:
    """Each ``Route(...)`` of a module with the source text of its path and permission."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Route":
            given = dict(zip(("method", "path", "handler", "permission"), map(ast.unparse, node.args), strict=False))
            given |= {word.arg: ast.unparse(word.value) for word in node.keywords if word.arg}
            yield node, given.get("path", ""), given.get("permission")


def permission_faults(source) -> list[str]:
    """Routes without a permission, or with one that cannot be read off the source."""
    faults = []
    for call, path, permission in route_calls(source):
        place = f"{source.module}, line {call.lineno}: {path}"
        if permission is None:
            faults.append(f"{place} declares no permission")
        elif not permission.startswith(_CONSTANTS):
            faults.append(f"{place}: {permission} is not a constant")
    return faults


def open_routes(source) -> set[tuple[str, str]]:
    return {
        (source.module, path)
        for _call, path, permission in route_calls(source)
        if permission in ("PUBLIC", "'public'", "route.PUBLIC")
    }


def test_every_route_declares_a_permission(sources):
    faults = [fault for source in sources for fault in permission_faults(source)]
    assert not faults, "\n".join(faults)


def test_open_routes_are_listed(sources):
    found = {route for source in sources for route in open_routes(source)}
    assert found - OPEN == set()


def test_nothing_is_listed_that_is_gone(sources):
    if not any(source.module.startswith("alloyd.wire.system.") for source in sources):
        pytest.skip("no system surface yet")
    assert OPEN - {route for source in sources for route in open_routes(source)} == set()


@pytest.mark.parametrize(
    "text",
    [
        "Route('GET', '/x', handler, summary='x')",
        "Route('GET', '/x', handler, chosen, 'x')",
        "Route(method='GET', path='/x', handler=h, permission=f(), summary='x')",
    ],
)
def test_permission_check_sees_a_fault(text, sample):
    assert permission_faults(sample("alloyd.wire.private.storage", text))


def test_permission_check_lets_a_good_route_pass(sample):
    text = "[Route('GET', '/x', handler, 'storage.read', 'x'), Route('GET', '/y', h, permission=OPERATOR)]"
    assert permission_faults(sample("alloyd.wire.private.storage", text)) == []


def test_open_routes_are_seen(sample):
    text = "Route('GET', '/x', handler, PUBLIC, 'x')"
    assert open_routes(sample("alloyd.wire.private.storage", text)) == {("alloyd.wire.private.storage", "'/x'")}
