"""`alloyd schedule`: made, shown, changed, paused, run out of turn and deleted, by a command in its own process."""

from __future__ import annotations

import json
import secrets

import pytest

NOWHERE = "0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11"


@pytest.fixture
def org(alloyd, tmp_path) -> str:
    """An organization of this test's own, with the workflow ``nightly``."""
    slug = f"t-{secrets.token_hex(6)}"
    alloyd("org", "create", "--slug", slug, "--name", "Test")
    file = tmp_path / "nightly.json"
    file.write_text(json.dumps({"name": "nightly", "nodes": [{"key": "a", "operation": "workflow.noop"}]}))
    alloyd("workflow", "apply", "-f", str(file), "--org", slug)
    return slug


def test_schedules(alloyd, org):
    made = alloyd(
        *("schedule", "create", "nightly", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin"),
        *("--misfire", "skip", "--input", '{"n": 1}', "--name", "backups", "--org", org, "--json"),
    ).json
    assert (made["cron"], made["timezone"], made["misfire"], made["payload"]) == (
        "30 2 * * *",
        "Europe/Berlin",
        "skip",
        {"n": 1},
    )
    listed = alloyd("schedule", "list", "--workflow", "nightly", "--org", org).out
    assert made["id"] in listed
    assert "nightly" in listed
    assert alloyd("schedule", "list", "--org", org, "--json").json == [made]
    shown = alloyd("schedule", "show", made["id"], "--next", "3", "--org", org)
    assert shown.out.count("T02:30:00+0") + shown.out.count("T03:00:00+0") == 3
    assert len(alloyd("schedule", "show", made["id"], "--org", org, "--json").json["next"]) == 5
    assert "paused" in alloyd("schedule", "pause", made["id"], "--org", org).out
    assert "paused" in alloyd("schedule", "list", "--org", org).out
    assert "enabled, next at" in alloyd("schedule", "resume", made["id"], "--org", org).out
    changed = alloyd("schedule", "update", made["id"], "--cron", "@daily", "--input", "{}", "--org", org, "--json").json
    assert (changed["cron"], changed["payload"], changed["name"]) == ("@daily", {}, "backups")
    run_id = alloyd("schedule", "run", made["id"], "--org", org).out.strip()
    assert alloyd("run", "show", run_id, "--org", org, "--json").json["trigger"] == "schedule"
    assert alloyd("schedule", "run", made["id"], "--org", org, "--json").json["schedule_id"] == made["id"]
    assert "--yes" in alloyd("schedule", "delete", made["id"], "--org", org, code=2).err
    assert "deleted" in alloyd("schedule", "delete", made["id"], "--org", org, "--yes").out
    assert alloyd("schedule", "list", "--org", org, "--json").json == []


def test_what_is_wrong_is_named(alloyd, org):
    create = ("schedule", "create", "nightly", "--org", org)
    assert "cron" in alloyd(*create, "--cron", "x", code=1).err
    assert "timezone" in alloyd(*create, "--cron", "@daily", "--timezone", "Moon", code=1).err
    assert "payload" in alloyd(*create, "--cron", "@daily", "--input", "[1]", code=1).err
    assert "--input" in alloyd(*create, "--cron", "@daily", "--input", "{", code=2).err
    assert "--cron" in alloyd(*create, code=2).err
    assert "no workflow" in alloyd("schedule", "create", "none", "--cron", "@daily", "--org", org, code=1).err
    assert "nothing to change" in alloyd("schedule", "update", NOWHERE, "--org", org, code=2).err
    for command in ("show", "pause", "resume", "run"):
        assert "not_found" in alloyd("schedule", command, NOWHERE, "--org", org, code=1).err
