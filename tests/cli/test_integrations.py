"""End users, integrations and installations from the command line, with a daemon and without."""

from __future__ import annotations

import json

import pytest

NOOP = {"key": "a", "operation": "workflow.noop"}


@pytest.fixture
def flow(alloyd, org, tmp_path):
    """Publishes another version of the workflow `flow`, under a release."""

    def publish(release: str, *keys: str) -> None:
        file = tmp_path / "flow.json"
        nodes = [{**NOOP, "key": key} for key in keys]
        file.write_text(json.dumps({"name": "flow", "nodes": nodes, "trigger": {"type": "event", "event": "go.now"}}))
        alloyd("workflow", "apply", "-f", str(file), "--org", org)
        alloyd("workflow", "release", "flow", release, "--org", org)

    return publish


def test_end_users(alloyd, org):
    at = ("--org", org)
    made = alloyd("end-user", "create", "ann@example.com", "--full-name", "Ann", *at, "--json").json
    assert (made["username"], made["full_name"]) == ("ann@example.com", "Ann")
    assert "username" in alloyd("end-user", "create", "ann@example.com", *at, code=1).err
    assert alloyd("end-user", "list", *at, "--json").json == [made]
    assert made["id"] in alloyd("end-user", "list", *at).out
    assert alloyd("end-user", "show", "ann@example.com", *at, "--json").json == made
    assert "Ann" in alloyd("end-user", "show", made["id"], *at).out
    assert "--username" in alloyd("end-user", "update", "ann@example.com", *at, code=2).err
    changed = alloyd("end-user", "update", made["id"], "--username", "ann", "--full-name", "", *at, "--json").json
    assert (changed["username"], changed["full_name"]) == ("ann", None)
    assert "--yes" in alloyd("end-user", "delete", "ann", *at, code=2).err
    assert "ann is deleted" in alloyd("end-user", "delete", "ann", "--yes", *at).out
    assert "not_found" in alloyd("end-user", "show", "ann", *at, code=1).err


def test_integrations(alloyd, org, flow):
    at = ("--org", org)
    flow("1.0.0", "a")
    fields = ("--category", "E-Commerce", "--icon-url", "https://assets.example.com/s.png", "--description", "Shops")
    made = alloyd("integration", "create", "--slug", "shopify", "--name", "Shopify", *fields, *at, "--json").json
    assert (made["id"], made["category"]) == ("int_shopify", "E-Commerce")
    assert "conflict" in alloyd("integration", "create", "--slug", "shopify", *at, code=1).err
    assert alloyd("integration", "list", *at, "--json").json == [made]
    assert "int_shopify" in alloyd("integration", "list", *at).out
    assert "flow is in int_shopify" in alloyd("integration", "add-workflow", "shopify", "flow", *at).out
    shown = alloyd("integration", "show", "int_shopify", *at, "--json").json
    assert [each["name"] for each in shown.pop("workflows")] == ["flow"]
    assert shown == made
    assert "flow" in alloyd("integration", "show", "shopify", *at).out
    assert "--name" in alloyd("integration", "update", "shopify", *at, code=2).err
    assert alloyd("integration", "update", "shopify", "--category", "", *at, "--json").json["category"] is None
    assert "any more" in alloyd("integration", "remove-workflow", "shopify", "flow", *at).out
    assert "not_found" in alloyd("integration", "remove-workflow", "shopify", "flow", *at, code=1).err
    assert "--yes" in alloyd("integration", "delete", "shopify", *at, code=2).err
    assert "int_shopify is deleted" in alloyd("integration", "delete", "shopify", "--yes", *at).out
    assert alloyd("integration", "list", *at, "--json").json == []


def test_installations(alloyd, org, flow):
    at = ("--org", org)
    flow("1.0.0", "a")
    user = alloyd("end-user", "create", "ann", *at, "--json").json["id"]
    both = ("ann", "flow", *at)
    assert "not_found" in alloyd("install", "show", *both, code=1).err
    made = alloyd("install", "create", *both, "--inactive", "--configuration", '{"n": 1}', "--json").json
    assert (made["end_user_id"], made["release"], made["event"]) == (user, "1.0.0", "go.now")
    assert (made["active"], made["configuration"]) == (False, {"n": 1})
    assert "conflict" in alloyd("install", "create", *both, code=1).err
    assert alloyd("install", "list", "--user", "ann", "--workflow", "flow", *at, "--json").json == [made]
    assert "inactive" in alloyd("install", "list", *at).out
    assert alloyd("install", "show", user, "flow", *at, "--json").json == made
    assert "go.now" in alloyd("install", "show", *both).out
    assert alloyd("install", "activate", *both, "--json").json["active"] is True
    assert "inactive" in alloyd("install", "deactivate", *both).out
    configured = alloyd("install", "configure", "ann", "flow", '{"n": 2}', *at, "--json").json
    assert configured["configuration"] == {"n": 2}
    assert "JSON" in alloyd("install", "configure", "ann", "flow", "{", *at, code=2).err
    flow("2.0.0", "a", "b")
    assert "bad_request" in alloyd("install", "upgrade", *both, "--release", "3.0.0", code=1).err
    assert "2.0.0  inactive" in alloyd("install", "upgrade", *both).out
    assert "older" in alloyd("install", "upgrade", *both, "--release", "1.0.0", code=1).err
    assert "--yes" in alloyd("install", "remove", *both, code=2).err
    assert "removed" in alloyd("install", "remove", *both, "--yes").out
    assert alloyd("install", "list", *at, "--json").json == []
