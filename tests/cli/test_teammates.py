"""AI teammates from the command line, with a daemon and without; and declared in files."""

from __future__ import annotations

import pytest


@pytest.fixture
def flow(alloyd, org, tmp_path):
    """Publishes the workflow `order-sync`."""
    file = tmp_path / "flow.yaml"
    file.write_text("{name: order-sync, nodes: [{key: a, operation: workflow.noop}]}")
    alloyd("workflow", "apply", "-f", str(file), "--org", org)


def test_management(alloyd, org, flow, tmp_path):
    at = ("--org", org)
    told = tmp_path / "told.txt"
    told.write_text("Be brief.\nBe right.")
    fields = ("--role", "Bookkeeper", "--instructions", f"@{told}", "--model", "echo", "--max-turns", "3")
    rights = ("--tool", "workflow:order-sync", "--read", "/invoices", "--write", "/out", "--write", "/more")
    made = alloyd("teammate", "create", "Ada", *fields, *rights, "--channel", "api", *at, "--json").json
    assert (made["role"], made["instructions"], made["max_turns"]) == ("Bookkeeper", "Be brief.\nBe right.", 3)
    assert made["tools"] == [{"type": "workflow", "workflow": "order-sync", "description": None}]
    assert (len(made["storage"]["read"]), len(made["storage"]["write"])) == (1, 2)
    assert "conflict" in alloyd("teammate", "create", "Ada", *at, code=1).err
    assert alloyd("teammate", "list", *at, "--json").json == [made]
    assert "Ada" in alloyd("teammate", "list", *at).out
    assert alloyd("teammate", "show", "Ada", *at, "--json").json == made
    assert "workflow:order-sync" in alloyd("teammate", "show", made["id"], *at).out
    assert "nothing to change" in alloyd("teammate", "update", "Ada", *at, code=2).err
    changed = alloyd("teammate", "update", "Ada", "--name", "Eve", "--model", "", "--no-tools", *at, "--json").json
    assert (changed["name"], changed["model"], changed["tools"], changed["role"]) == ("Eve", None, [], "Bookkeeper")
    assert changed["storage"] == made["storage"]
    assert alloyd("teammate", "update", "Eve", "--no-folders", *at, "--json").json["storage"]["read"] == []
    for refused in (("--tool", "order-sync"), ("--tool", "connector:github"), ("--tool", "workflow:x", "--no-tools")):
        assert "tool" in alloyd("teammate", "update", "Eve", *refused, *at, code=2).err
    assert "github" in alloyd("teammate", "update", "Eve", "--tool", "connector:github/x@main", *at, code=1).err
    assert "@" in alloyd("teammate", "update", "Eve", "--instructions", "@/nowhere", *at, code=2).err + "@"
    assert "--yes" in alloyd("teammate", "delete", "Eve", *at, code=2).err
    assert "Eve is deleted" in alloyd("teammate", "delete", "Eve", "--yes", *at).out
    assert "there is no teammate 'Eve'" in alloyd("teammate", "show", "Eve", *at, code=1).err


def test_talking(alloyd, org):
    at = ("--org", org)
    alloyd("teammate", "create", "Ada", "--model", "echo", *at)
    whole = alloyd("teammate", "message", "Ada", "hello\nthere", "--context", '{"order": 7}', *at, "--json").json
    assert "hello" in whole["reply"]
    streamed = alloyd("teammate", "message", "Ada", "and \x1b[31mmore", "--conversation", whole["conversation_id"], *at)
    assert "more" in streamed.out
    assert "\x1b" not in streamed.out
    assert whole["conversation_id"] in streamed.err
    (one,) = alloyd("teammate", "conversations", "Ada", *at, "--json").json
    assert (one["id"], one["messages_count"]) == (whole["conversation_id"], 4)
    assert one["id"] in alloyd("teammate", "conversations", "Ada", *at).out
    shown = alloyd("teammate", "conversation", "Ada", one["id"], *at).out
    assert shown.startswith("user: hello\nthere\nassistant: ")
    newest = alloyd("teammate", "conversation", "Ada", one["id"], "--limit", "1", *at, "--json").json["messages"]
    assert [(message["number"], message["role"]) for message in newest] == [(4, "assistant")]
    assert (
        "not_found" in alloyd("teammate", "message", "Ada", "x", "--conversation", one["teammate_id"], *at, code=1).err
    )
    assert "JSON" in alloyd("teammate", "message", "Ada", "x", "--context", "{", *at, code=2).err
    assert "--yes" in alloyd("teammate", "forget", "Ada", one["id"], *at, code=2).err
    assert "is forgotten" in alloyd("teammate", "forget", "Ada", one["id"], "--yes", *at).out
    assert alloyd("teammate", "conversations", "Ada", *at, "--json").json == []


def test_what_fails_is_told(alloyd, org):
    at = ("--org", org)
    alloyd("teammate", "create", "Ada", "--model", "gone", *at)
    for options in ((), ("--json",)):
        failed = alloyd("teammate", "message", "Ada", "x", *at, *options, code=1)
        assert (failed.out, "could not reply" in failed.err) == ("", True)


def test_a_key_for_one_teammate(alloyd, org):
    at = ("--org", org)
    made = alloyd("teammate", "create", "Ada", "--channel", "api", *at, "--json").json
    key = alloyd("key", "create", "--name", "ada", "--teammate", "Ada", *at, "--json").json
    assert (key["teammate_id"], key["scopes"]) == (made["id"], ["channel"])
    assert "there is no teammate" in alloyd("key", "create", "--name", "x", "--teammate", "Eve", *at, code=1).err
    refused = alloyd("key", "create", "--name", "x", "--teammate", "Ada", "--scope", "control", *at, code=1)
    assert "scopes" in refused.err
    alloyd("teammate", "delete", "Ada", "--yes", *at)
    assert alloyd("key", "show", key["id"], *at, "--json").json["status"] == "revoked"


DECLARED = """\
kind: Teammate
name: Ada
role: Bookkeeper
instructions: |
  Be brief.
  Be right.
model: echo
tools:
  - {type: workflow, workflow: order-sync}
storage: {read: [/invoices/]}
channel: api
---
{kind: Workflow, name: order-sync, nodes: [{key: a, operation: workflow.noop}]}
"""


def test_declared(alloyd, org, tmp_path):
    at = ("--org", org)
    file = tmp_path / "mate.yaml"

    def apply(text: str, *options: str, code: int = 0):
        file.write_text(text)
        return alloyd("apply", "-f", str(file), *at, *options, code=code)

    dry = apply(DECLARED, "--dry-run")
    assert dry.out.count("would be created") == 2
    assert alloyd("teammate", "list", *at, "--json").json == []
    assert apply(DECLARED).out.splitlines() == ["Workflow order-sync: created", "Teammate Ada: created"]
    assert apply(DECLARED).out.count("unchanged") == 2
    (made,) = alloyd("teammate", "list", *at, "--json").json
    assert (made["instructions"], made["channel"], made["max_turns"]) == ("Be brief.\nBe right.\n", "api", 8)
    other = DECLARED.replace("channel: api", "max_turns: 4")
    difference = apply(other, "--dry-run").out
    assert "-channel: api" in difference
    assert "+channel: none" in difference
    assert "+max_turns: 4" in difference
    assert "Teammate Ada: changed" in apply(other).out
    assert [one["channel"] for one in alloyd("teammate", "list", *at, "--json").json] == ["none"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("role: Bookkeeper", "rolle: Bookkeeper", ":3: rolle"),
        ("name: Ada", "name: ''", "name: a Teammate needs it"),
        ("channel: api", "channel: fax", ":11: channel"),
        ("channel: api", "max_turns: 99", ":11: max_turns"),
        ("workflow: order-sync}\n", "workflow: 5}\n", ":9: tools[0].workflow"),
        ("workflow: order-sync}\n", "workflow: gone}\n", ":9: tools[0].workflow: there is no workflow 'gone'"),
        ("/invoices/", "/../x", ":10: storage.read[0]"),
        ("type: workflow", "type: shell", ":9: tools[0]"),
    ],
)
def test_a_fault_names_its_place_and_nothing_is_done(alloyd, org, tmp_path, old, new, told):
    file = tmp_path / "mate.yaml"
    file.write_text(DECLARED.replace(old, new, 1))
    assert told in alloyd("apply", "-f", str(file), "--org", org, code=1).err
    assert alloyd("workflow", "list", "--org", org, "--json").json == []
