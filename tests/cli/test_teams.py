"""Teams, invitations and grants from the command line, with a daemon and without."""

from __future__ import annotations

import uuid

import pytest

PASSWORD = b"correct horse battery staple\n"


@pytest.fixture
def ada(alloyd, org) -> str:
    """The e-mail of a member."""
    email = f"ada-{uuid.uuid4().hex[:8]}@example.com"
    alloyd("user", "create", "--email", email, "--org", org, "--role", "viewer", "--password-stdin", stdin=PASSWORD)
    return email


def test_teams(alloyd, org, ada):
    at = ("--org", org)
    made = alloyd("team", "create", "--slug", "core", "--name", "Core", *at, "--json").json
    assert (made["slug"], made["name"]) == ("core", "Core")
    assert "conflict" in alloyd("team", "create", "--slug", "core", *at, code=1).err
    assert alloyd("team", "list", *at, "--json").json == [made]
    assert made["id"] in alloyd("team", "list", *at).out
    assert alloyd("team", "rename", "core", "--name", "Kernel", *at, "--json").json["name"] == "Kernel"
    assert "--slug" in alloyd("team", "rename", "core", *at, code=2).err
    added = alloyd("team", "add", "core", ada, "--role", "admin", *at, "--json").json
    assert (added["email"], added["role"], added["organization_role"]) == (ada, "admin", "viewer")
    assert "is viewer in the team" in alloyd("team", "add", made["id"], added["user_id"], *at).out
    assert alloyd("team", "members", "core", *at, "--json").json[0]["team_role"] is None
    assert ada in alloyd("team", "members", "core", *at).out
    assert "not_found" in alloyd("team", "add", "core", "nobody@example.com", *at, code=1).err
    assert ada in alloyd("team", "remove", "core", ada.upper(), *at).out
    assert "not_found" in alloyd("team", "remove", "core", ada, *at, code=1).err
    assert "not_found" in alloyd("team", "members", "shell", *at, code=1).err
    assert "--yes" in alloyd("team", "delete", "core", *at, code=2).err
    assert "core is deleted" in alloyd("team", "delete", "core", "--yes", *at).out
    assert alloyd("team", "list", *at, "--json").json == []


def test_invitations(alloyd, org, ada):
    at = ("--org", org)
    alloyd("team", "create", "--slug", "core", *at)
    alone = alloyd("invitation", "create", "--email", "bob@example.com", "--team", "core", *at)
    assert len(alone.out.strip()) == 43
    assert "only this once" in alone.err
    made = alloyd("invitation", "create", "--email", "eve@example.com", "--role", "admin", *at, "--json").json
    assert (made["status"], made["role"]) == ("pending", "admin")
    assert "conflict" in alloyd("invitation", "create", "--email", ada, *at, code=1).err
    listed = alloyd("invitation", "list", *at, "--json").json
    assert [each["email"] for each in listed] == ["eve@example.com", "bob@example.com"]
    assert made["token"] not in alloyd("invitation", "list", *at).out
    assert alloyd("invitation", "show", made["id"], *at, "--json").json == listed[0]
    assert "eve@example.com" in alloyd("invitation", "show", made["id"], *at).out
    assert "is revoked" in alloyd("invitation", "revoke", made["id"], *at).out
    assert "conflict" in alloyd("invitation", "revoke", made["id"], *at, "--json", code=1).err


def test_grants(alloyd, org, ada):
    at = ("--org", org)
    key = alloyd("key", "create", "--name", "ci", *at, "--json").json
    allowed = alloyd("grant", "allow", ada, "workflow.run", "--on", "workflow:*", *at, "--json").json
    assert (allowed["effect"], allowed["resource"]) == ("allow", "workflow:*")
    assert f"deny api_key:{key['id']} workflow.*" in alloyd("grant", "deny", key["id"], "workflow.*", *at).out
    assert alloyd("grant", "list", "--principal", ada, *at, "--json").json == [allowed]
    shown = alloyd("grant", "list", *at).out
    assert "deny" in shown
    assert "workflow:*" in shown
    assert "bad_request" in alloyd("grant", "allow", ada, "workflow", *at, code=1).err
    assert "not_found" in alloyd("grant", "deny", "nobody@example.com", "workflow.run", *at, code=1).err
    assert "does not hold any more" in alloyd("grant", "delete", allowed["id"], *at).out
    assert "not_found" in alloyd("grant", "delete", allowed["id"], *at, code=1).err
