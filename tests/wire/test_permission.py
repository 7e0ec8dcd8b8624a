"""What a route says its path names, for grants on single resources."""

from __future__ import annotations

import pytest

from alloyd.principal import RESOURCES
from alloyd.wire.route import PUBLIC, Call, Route


async def _nothing(call: Call) -> None:
    """No handler."""


@pytest.mark.parametrize(
    ("path", "permission", "resource"),
    [
        ("/teams", "team.create", None),
        ("/teams/{id}", "team.read", ("team", "id")),
        ("/teams/{id}/members/{user_id}", "team.update", ("team", "id")),
        ("/organizations/{id}/teams", "team.read", ("organization", "id")),
        ("/api-keys/{id}/disable", "api_key.disable", ("api_key", "id")),
        ("/workflow-definitions/{id}", "workflow.read", ("workflow", "id")),
        ("/workflow-runs/{id}/start", "workflow.run", ("run", "id")),
        ("/trigger/{workflow_id}", "workflow.run", ("workflow", "workflow_id")),
        ("/dead-letters/{id}", "dead_letter.read", ("dead_letter", "id")),
        ("/jobs/{id}/usage", "usage.read", ("job", "id")),
        ("/elsewhere/{id:[a-z]+}", "asset.read", ("asset", "id")),
        ("/{id}", "run.read", ("run", "id")),
    ],
)
def test_resource_of_a_path(path: str, permission: str, resource: tuple[str, str] | None) -> None:
    found = Route("GET", path, _nothing, permission, "a test's").resource
    assert found == resource
    assert found is None or found[0] in RESOURCES


def test_a_public_path_names_nothing_to_ask_for() -> None:
    assert Route("GET", "/files/{key}", _nothing, PUBLIC, "a test's").resource == (PUBLIC, "key")
