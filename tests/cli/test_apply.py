"""`alloyd apply`: declared files become things; again they change nothing; with a fault nothing is done."""

from __future__ import annotations

import uuid

import pytest

DECLARED = """\
kind: Webhook
url: https://example.com/hook
events: [order.*]
---
kind: Schedule
name: nightly
workflow: order-sync
cron: 0 3 * * *
timezone: Europe/Berlin
---
kind: Workflow
name: order-sync
release: "1.0.0"
trigger: {type: event, event: order.created}
nodes:
  - {key: total, operation: transform, config: {values: {cents: "{{ int(trigger.amount * 100) }}"}}}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "all.yaml"
    path.write_text(DECLARED)
    return path


def test_first_once_then_nothing(alloyd, org, file):
    at = ("--org", org)
    dry = alloyd("apply", "-f", str(file), *at, "--dry-run")
    assert dry.out.count("would be created") == 3
    assert "+  cron: 0 3 * * *" in dry.out.replace("+cron", "+  cron")
    assert alloyd("workflow", "list", *at, "--json").json == []
    done = alloyd("apply", "-f", str(file), *at)
    lines = ["Workflow order-sync: created", "Schedule nightly: created", "Webhook https://example.com/hook: created"]
    assert done.out.splitlines() == lines
    assert "shown only this once" in done.err
    again = alloyd("apply", "-f", str(file), *at, "--json").json
    assert [one["result"] for one in again] == ["unchanged"] * 3
    assert len(alloyd("schedule", "list", *at, "--json").json) == 1
    assert [one["release"] for one in alloyd("workflow", "releases", "order-sync", *at, "--json").json] == ["1.0.0"]


def test_what_differs_is_shown_and_changed(alloyd, org, file):
    at = ("--org", org)
    alloyd("apply", "-f", str(file), *at)
    file.write_text(DECLARED.replace("0 3 * * *", "0 4 * * *").replace("[order.*]", "[order.*, invoice.paid]"))
    dry = alloyd("apply", "-f", str(file), *at, "--dry-run")
    assert dry.out.count("would be changed") == 2
    assert "-cron: 0 3 * * *" in dry.out
    assert "+cron: 0 4 * * *" in dry.out
    assert "+- invoice.paid" in dry.out
    assert [one["cron"] for one in alloyd("schedule", "list", *at, "--json").json] == ["0 3 * * *"]
    alloyd("apply", "-f", str(file), *at)
    (schedule,) = alloyd("schedule", "list", *at, "--json").json
    assert (schedule["cron"], schedule["timezone"]) == ("0 4 * * *", "Europe/Berlin")
    (webhook,) = alloyd("webhook", "list", *at, "--json").json
    assert webhook["events"] == ["order.*", "invoice.paid"]


def test_a_release_keeps_its_content(alloyd, org, file):
    at = ("--org", org)
    alloyd("apply", "-f", str(file), *at)
    file.write_text(DECLARED.replace("* 100", "* 1000"))
    refused = alloyd("apply", "-f", str(file), *at, code=1)
    assert "all.yaml:11" in refused.err
    assert "'1.0.0' names version 1" in refused.err
    assert alloyd("workflow", "list", *at, "--json").json[0]["version"] == 1
    file.write_text(DECLARED.replace("* 100", "* 1000").replace("1.0.0", "1.1.0"))
    assert "Workflow order-sync: changed" in alloyd("apply", "-f", str(file), *at).out
    named = alloyd("workflow", "release", "order-sync", "latest", "--version", "1", *at)
    assert named.out == "order-sync: latest is version 1\n"
    releases = alloyd("workflow", "releases", "order-sync", *at, "--json").json
    assert {one["release"]: one["version"] for one in releases} == {"1.0.0": 1, "1.1.0": 2, "latest": 1}
    assert "conflict" in alloyd("workflow", "release", "order-sync", "latest", "--version", "2", *at, code=1).err
    assert "not_found" in alloyd("workflow", "release", "order-sync", "x", "--version", "9", *at, code=1).err
    assert "release" in alloyd("workflow", "release", "order-sync", "no spaces", *at, code=1).err


def test_a_folder_and_an_organization(alloyd, tmp_path):
    folder = tmp_path / "declared"
    (folder / "deeper").mkdir(parents=True)
    slug = f"org-{uuid.uuid4().hex[:12]}"
    (folder / "org.yaml").write_text(f"kind: Organization\nslug: {slug}\nname: First\n")
    (folder / "deeper" / "note.txt").write_text("not this")
    assert alloyd("apply", "-f", str(folder)).out == f"Organization {slug}: created\n"
    (folder / "org.yaml").write_text(f"kind: Organization\nslug: {slug}\nname: Second\n")
    assert alloyd("apply", "-f", str(folder)).out == f"Organization {slug}: changed\n"
    assert alloyd("apply", "-f", str(folder)).out == f"Organization {slug}: unchanged\n"
    assert alloyd("org", "show", slug, "--json").json["name"] == "Second"


APP = """\
kind: Integration
slug: shopify
name: Shopify
category: E-Commerce
icon_url: https://assets.example.com/shopify.png
workflows: [two, one]
---
{kind: Workflow, name: one, nodes: [{key: a, operation: workflow.noop}]}
---
{kind: Workflow, name: two, nodes: [{key: a, operation: workflow.noop}]}
"""


def test_an_integration_gets_its_workflows(alloyd, org, tmp_path):
    at = ("--org", org)
    file = tmp_path / "app.yaml"

    def apply(text: str) -> str:
        file.write_text(text)
        dry = alloyd("apply", "-f", str(file), *at, "--dry-run").out
        done = alloyd("apply", "-f", str(file), *at).out.splitlines()[-1]
        result = done.rpartition(" ")[2]
        assert ("unchanged" if result == "unchanged" else f"would be {result}") in dry
        assert alloyd("apply", "-f", str(file), *at).out.splitlines()[-1] == "Integration shopify: unchanged"
        return result

    def shown() -> tuple[str | None, set[str]]:
        found = alloyd("integration", "show", "shopify", *at, "--json").json
        return found["category"], {each["name"] for each in found["workflows"]}

    assert apply(APP) == "created"
    assert shown() == ("E-Commerce", {"one", "two"})
    assert apply(APP.replace("[two, one]", "[one]")) == "changed"
    assert shown() == ("E-Commerce", {"one"})
    bare = APP.replace("workflows: [two, one]\n", "")
    assert apply(bare) == "unchanged"
    assert apply(bare.replace("category: E-Commerce\n", "")) == "changed"
    assert shown() == (None, {"one"})
    assert apply(APP.replace("[two, one]", "[]")) == "changed"
    assert shown() == ("E-Commerce", set())


def test_a_secret_is_in_no_difference(alloyd, org, tmp_path):
    at = ("--org", org)
    file = tmp_path / "hook.yaml"
    text = (
        "kind: Workflow\nname: hooked\ntrigger: {type: webhook, secret: canary-canary-canary-canary}\n"
        "nodes: [{key: a, operation: workflow.noop}]\n"
    )
    file.write_text(text)
    assert "canary" not in alloyd("apply", "-f", str(file), *at, "--dry-run").out
    alloyd("apply", "-f", str(file), *at)
    assert alloyd("apply", "-f", str(file), *at, "--dry-run").out == "Workflow hooked: unchanged\n"
    assert alloyd("apply", "-f", str(file), *at).out == "Workflow hooked: unchanged\n"
    file.write_text(text.replace("canary-canary-", "canary-other--"))
    assert "canary" not in alloyd("apply", "-f", str(file), *at, "--dry-run").out
    alloyd("apply", "-f", str(file), *at)
    assert alloyd("workflow", "list", *at, "--json").json[0]["version"] == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "kind: Robot\nname: x\n",
            "all.yaml:1: kind: one of Organization, Workflow, Integration, Teammate, Schedule, Webhook is wanted",
        ),
        ("name: x\n", "kind: one of"),
        ("kind: Integration\nname: x\n", "all.yaml:1: slug: an Integration needs it"),
        (
            "kind: Integration\nslug: app\nname: x\nworkflows: [good, nobody]\n",
            "all.yaml:4: workflows: there is no workflow 'nobody'",
        ),
        ("kind: Integration\nslug: app\nname: x\nworkflows: good\n", "all.yaml:4: workflows: a list of names"),
        ("kind: Schedule\nname: x\ncron: '* * * * *'\n", "all.yaml:1: workflow: a Schedule needs it"),
        (
            "kind: Schedule\nname: x\ncron: '* * * * *'\nworkflow: nobody\n",
            "all.yaml:4: workflow: there is no workflow 'nobody'",
        ),
        (
            "kind: Webhook\nurl: https://example.com\nevents: [a]\nsecret: x\n",
            "all.yaml:4: secret: a Webhook has no such",
        ),
        ("kind: Workflow\nname: x\nnodes:\n  - {key: a, operation: no.such}\n", "all.yaml:4: nodes[0].operation"),
    ],
)
def test_with_a_fault_nothing_is_done(alloyd, org, tmp_path, text, told):
    file = tmp_path / "all.yaml"
    file.write_text(f"{text}---\nkind: Workflow\nname: good\nnodes: [{{key: a, operation: workflow.noop}}]\n")
    assert told in alloyd("apply", "-f", str(file), "--org", org, code=1).err
    assert alloyd("workflow", "list", "--org", org, "--json").json == []


def test_an_empty_folder_is_told(alloyd, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no" in alloyd("apply", "-f", str(tmp_path / "empty"), code=1).err
    assert "not_found" in alloyd("apply", "-f", str(tmp_path / "nowhere.yaml"), code=1).err
