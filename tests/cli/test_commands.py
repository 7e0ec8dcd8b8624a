"""Every group of commands on real data, with a daemon and without: the same outcomes."""

from __future__ import annotations

import json
import uuid

import pytest

ORG_FIELDS = {"id", "slug", "name", "created_at", "updated_at", "archived_at"}
KEY_FIELDS = {"id", "organization_id", "name", "prefix", "scopes", "role", "status", "expires_at"}
RUN_FIELDS = {"id", "workflow_id", "status", "progress", "context", "output", "error", "created_at"}
PASSWORD = b"correct horse battery staple\n"


def new_slug() -> str:
    return f"org-{uuid.uuid4().hex[:12]}"


def test_organizations(alloyd):
    slug, other = new_slug(), new_slug()
    made = alloyd("org", "create", "--slug", slug, "--name", "Acme Ltd", "--json").json
    assert set(made) >= ORG_FIELDS
    assert (made["slug"], made["name"]) == (slug, "Acme Ltd")
    assert made["id"] in {org["id"] for org in alloyd("org", "list", "--json").json}
    assert slug in alloyd("org", "list").out
    assert alloyd("org", "show", slug, "--json").json == made
    assert "Acme Ltd" in alloyd("org", "show", made["id"]).out
    assert alloyd("org", "rename", slug, "--slug", other, "--json").json["slug"] == other
    assert alloyd("org", "rename", other, code=2).out == ""
    assert "conflict" in alloyd("org", "create", "--slug", other, code=1).err
    assert "--yes" in alloyd("org", "archive", other, code=2).err
    assert alloyd("org", "archive", other, "--yes", "--json").json["archived_at"]
    assert alloyd("org", "show", slug, code=1).err == "alloyd: not_found: organization not found\n"


def test_users(alloyd, org):
    email = f"{uuid.uuid4().hex[:8]}@example.com"
    create = ("user", "create", "--email", email, "--org", org, "--role", "admin", "--password-stdin")
    made = alloyd(*create, "--json", stdin=PASSWORD).json
    assert made["email"] == email
    assert "password" not in str(made)
    assert alloyd("user", "list", "--org", org, "--json").json == [made]
    assert email in alloyd("user", "list").out
    assert "conflict" in alloyd(*create, stdin=PASSWORD, code=1).err
    alloyd("user", "passwd", email, "--password-stdin", stdin=b"another battery staple")
    assert "at least" in alloyd("user", "passwd", email, "--password-stdin", stdin=b"short\n", code=1).err
    assert "--password-stdin" in alloyd("user", "passwd", email, code=2).err
    assert alloyd("user", "disable", email, "--json").json["disabled_at"]
    assert "not_found" in alloyd("user", "disable", "nobody@example.com", code=1).err


def test_tokens(alloyd, org):
    email = f"{uuid.uuid4().hex[:8]}@example.com"
    alloyd("user", "create", "--email", email, "--org", org, "--password-stdin", stdin=PASSWORD)
    alone = alloyd("token", "issue", email, "--org", org, "--ttl", "90s")
    assert alone.out.count(".") == 2
    assert "90 seconds" in alone.err
    issued = alloyd("token", "issue", email, "--json").json
    assert (issued["token_type"], issued["expires_in"]) == ("bearer", 3600)
    assert "not_found" in alloyd("token", "issue", email, "--org", "default", code=1).err
    assert "ttl_s" in alloyd("token", "issue", email, "--ttl", "1s", code=1).err
    alloyd("user", "disable", email)
    assert "disabled" in alloyd("token", "issue", email, code=1).err


def test_keys(alloyd, org):
    made = alloyd(
        "key", "create", "--org", org, "--name", "ci", "--scope", "private", "--expires", "90d", "--json"
    ).json
    assert set(made) >= KEY_FIELDS
    assert made["key"].startswith(made["prefix"])
    assert (made["scopes"], made["status"]) == (["private"], "active")
    shown = alloyd("key", "show", made["id"], "--org", org, "--json").json
    assert "key" not in shown
    assert shown["id"] == made["id"]
    alone = alloyd("key", "create", "--org", org, "--name", "raw")
    assert alone.out.startswith("alloy_")
    assert "only this once" in alone.err
    assert made["key"] not in alloyd("key", "list", "--org", org).out
    rotated = alloyd("key", "rotate", made["id"], "--org", org, "--grace", "1h", "--json").json
    assert rotated["key"] != made["key"]
    assert alloyd("key", "disable", rotated["id"], "--org", org, "--json").json["status"] == "disabled"
    assert "revoked" in alloyd("key", "revoke", made["id"], "--org", org).out
    assert [key["status"] for key in alloyd("key", "list", "--org", org, "--json").json].count("revoked") == 1
    assert "scopes" in alloyd("key", "create", "--org", org, "--name", "x", "--scope", "all", code=1).err
    assert "90d" in alloyd("key", "create", "--org", org, "--name", "x", "--expires", "soon", code=2).err
    assert "not_found" in alloyd("key", "show", made["id"], code=1).err


WORKFLOW = """\
name: greet
nodes:
  - key: hello
    operation: transform
    config: {values: {text: "Hello, {{ trigger.name }}!"}}
---
name: other
kind: Workflow
nodes: [{key: only, operation: workflow.noop}]
"""


def test_workflows(alloyd, org, tmp_path):
    file = tmp_path / "two.yaml"
    file.write_text(WORKFLOW)
    at = ("--org", org)
    assert alloyd("workflow", "validate", "-f", str(file), *at).out == "greet: valid\nother: valid\n"
    assert alloyd("workflow", "apply", "-f", str(file), *at).out == (
        "greet: version 1 (published)\nother: version 1 (published)\n"
    )
    again = alloyd("workflow", "apply", "-f", "-", *at, "--json", stdin=WORKFLOW.encode()).json
    assert [one["changed"] for one in again] == [False, False]
    assert "unchanged" in alloyd("workflow", "apply", "-f", str(file), *at).out
    listed = alloyd("workflow", "list", *at, "--json").json
    assert {one["name"] for one in listed} == {"greet", "other"}
    assert "greet" in alloyd("workflow", "list", *at).out
    shown = alloyd("workflow", "show", "greet", *at, "--json").json
    assert alloyd("workflow", "show", shown["id"], *at, "--version", "1", "--json").json == shown
    assert "Hello" in alloyd("workflow", "show", "greet", *at).out
    for form in ("yaml", "json"):
        exported = alloyd("workflow", "export", "greet", *at, "--format", form).out
        assert "unchanged" in alloyd("workflow", "apply", "-f", "-", *at, stdin=exported.encode()).out
    assert "kind" not in alloyd("workflow", "export", "other", *at).out
    assert "--yes" in alloyd("workflow", "delete", "other", *at, code=2).err
    alloyd("workflow", "delete", "other", *at, "--yes")
    assert "not_found" in alloyd("workflow", "show", "other", *at, code=1).err


def test_workflow_faults_have_their_places(alloyd, org, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(
        WORKFLOW + "---\nname: bad\nnodes:\n  - key: a\n    operation: nope\n  - {key: a, operation: nope}\n"
    )
    for verb in ("validate", "apply"):
        said = alloyd("workflow", verb, "-f", str(file), "--org", org, code=1)
        assert f"{file}:14: nodes[0].operation: there is no operation 'nope'" in said.err
        assert f"{file}:15: nodes[1]" in said.err
    assert alloyd("workflow", "list", "--org", org, "--json").json == []
    checked = alloyd("workflow", "validate", "-f", str(file), "--org", org, "--json", code=1).json
    assert [one["valid"] for one in checked] == [True, True, False]
    file.write_text("kind: Integration\nname: x\n")
    assert f"{file}:1: kind" in alloyd("workflow", "apply", "-f", str(file), "--org", org, code=1).err


def test_runs(alloyd, org, tmp_path):
    at = ("--org", org)
    alloyd("workflow", "apply", "-f", "-", *at, stdin=WORKFLOW.encode())
    started = alloyd("run", "start", "greet", "--input", '{"name": "Ada"}', *at, "--json", "--wait").json
    assert started["result"]["status"] == "completed"
    assert started["result"]["output"] == {"text": "Hello, Ada!"}
    run_id = started["runId"]
    shown = alloyd("run", "show", run_id, *at, "--json").json
    assert set(shown) >= RUN_FIELDS | {"payload", "steps"}
    assert "hello" in alloyd("run", "show", run_id, *at).out
    watched = alloyd("run", "watch", run_id, *at)
    assert watched.out.splitlines()[0].endswith(f"workflow.run.queued  {run_id}")
    assert "workflow.run.completed" in watched.out.splitlines()[-1]
    events = [json.loads(line) for line in alloyd("run", "watch", run_id, *at, "--json").out.splitlines()]
    assert {event["run_id"] for event in events} == {run_id}
    (tmp_path / "in.json").write_text('{"name": "Bob"}')
    for given, stdin in ((f"@{tmp_path}/in.json", b""), ("-", b'{"name": "Bob"}')):
        said = alloyd("run", "start", "greet", "--input", given, *at, "--wait=30", stdin=stdin)
        assert "Hello, Bob!" in said.out
    listed = alloyd("run", "list", *at, "--workflow", "greet", "--status", "completed", "--limit", "2", "--json").json
    assert len(listed) == 2
    assert "greet" in alloyd("run", "list", *at).out
    assert "conflict" in alloyd("run", "cancel", run_id, *at, code=1).err
    assert "not JSON" in alloyd("run", "start", "greet", "--input", "{", *at, code=2).err
    assert "cannot be read" in alloyd("run", "start", "greet", "--input", "@/none", *at, code=2).err
    assert "put --wait last" in alloyd("run", "start", "--wait", "greet", *at, code=2).err
    assert "not_found" in alloyd("run", "start", "nothing", *at, code=1).err
    assert "not_found" in alloyd("run", "watch", str(uuid.uuid4()), *at, code=1).err


FAILING = b"name: failing\nnodes: [{key: a, operation: workflow.finish, config: {output: '{{ trigger.none.x }}'}}]\n"
SLEEPING = b"name: sleeping\nnodes: [{key: a, operation: workflow.delay, config: {for: 10m}}]\n"


def test_a_failed_run_has_its_exit_code(alloyd, org):
    alloyd("workflow", "apply", "-f", "-", "--org", org, stdin=FAILING.replace(b"failing", b"fails"))
    said = alloyd("run", "start", "fails", "--wait", "--org", org, code=1)
    assert " failed" in said.out
    assert "step a" in said.err
    run_id = said.out.split()[1]
    assert "workflow.run.failed" in alloyd("run", "watch", run_id, "--org", org, code=1).out


def test_a_run_that_is_not_done_in_time(alloyd, org):
    alloyd("workflow", "apply", "-f", "-", "--org", org, stdin=SLEEPING)
    said = alloyd("run", "start", "sleeping", "--org", org, "--wait=1", "--json", code=1)
    assert said.json["result"]["status"] in ("running", "waiting")
    assert "run watch" in said.err
    ended = alloyd("run", "cancel", said.json["runId"], "--org", org, "--json").json
    assert ended["status"] == "cancelled"
    assert alloyd("run", "watch", ended["id"], "--org", org, code=1).out


def test_storage(alloyd, org, tmp_path):
    at = ("--org", org)
    content = bytes(range(256)) * 5000
    one, two = tmp_path / "one.bin", tmp_path / 'naïve "q" %41.txt'
    one.write_bytes(content)
    two.write_bytes(b"two")
    assert alloyd("storage", "mkdir", "a/b", *at).out == "a/b\n"
    assert alloyd("storage", "put", str(one), str(two), "a/b", *at).out.splitlines() == [
        "a/b/one.bin",
        f"a/b/{two.name}",
    ]
    assert alloyd("storage", "put", str(one), "a/other.bin", *at, "--json").json == {"path": "a/other.bin"}
    assert alloyd("storage", "put", "-", "c/d.txt", *at, stdin=b"piped").out == "c/d.txt\n"
    assert "needs a name" in alloyd("storage", "put", "-", "c/", *at, code=2).err
    assert "cannot be read" in alloyd("storage", "put", "/none", "c/", *at, code=1).err
    listing = alloyd("storage", "ls", "a", *at, "--json").json
    assert [item["name"] for item in listing["items"]] == ["b", "other.bin"]
    assert alloyd("storage", "ls", "a", *at).out.splitlines()[-1].split()[-1] == "other.bin"
    assert alloyd("storage", "get", "c/d.txt", "-", *at).out == "piped"
    back = tmp_path / "back"
    back.mkdir()
    alloyd("storage", "get", "a/b/one.bin", str(back), *at)
    assert (back / "one.bin").read_bytes() == content
    assert [path.name for path in back.iterdir()] == ["one.bin"]
    assert alloyd("storage", "usage", *at, "--json").json["files"] == 4
    assert "4" in alloyd("storage", "usage", *at).out
    assert alloyd("storage", "mv", "a/other.bin", "a/new.bin", *at).out == "a/new.bin\n"
    assert alloyd("storage", "mv", "a/new.bin", "c", *at).out == "c/new.bin\n"
    assert "no folder" in alloyd("storage", "mv", "c/new.bin", "x/y", *at, code=1).err
    assert "give -r" in alloyd("storage", "rm", "a", *at, code=1).err
    assert alloyd("storage", "rm", "c/d.txt", *at).out == "c/d.txt\n"
    alloyd("storage", "rm", "-r", "a", *at)
    assert "not_found" in alloyd("storage", "ls", "a", *at, code=1).err
    assert "not_found" in alloyd("storage", "get", "a/b/one.bin", str(back), *at, code=1).err
    assert (back / "one.bin").read_bytes() == content


def test_an_upload_over_the_limit_is_refused(alloyd, org, tmp_path):
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(11 * 1024 * 1024)
    assert "too_large" in alloyd("storage", "put", str(large), "/", "--org", org, code=1).err
    assert "too_large" in alloyd("storage", "put", "-", "x", "--org", org, stdin=bytes(11 << 20), code=1).err


def test_a_download_does_not_touch_what_it_can_not_replace(alloyd, org, tmp_path):
    alloyd("storage", "put", "-", "d.txt", "--org", org, stdin=b"new")
    said = alloyd("storage", "get", "d.txt", str(tmp_path / "none" / "d.txt"), "--org", org, code=1)
    assert "cannot be written" in said.err


@pytest.mark.parametrize("org_name", ["nobody", "a\nb", "é"])
def test_an_unknown_organization(alloyd, org_name):
    alloyd("storage", "ls", "--org", org_name, code=1 if org_name == "nobody" else 2)


def test_providers(alloyd, org):
    listed = alloyd("provider", "list", "--org", org, "--json").json
    assert [provider["id"] for provider in listed] == ["echo"]
    assert "echo" in alloyd("provider", "list").out
    tried = alloyd("provider", "test", "--org", org, "--prompt", "Are you there?", "--json").json
    assert [(one["provider"], one["ok"], one["told"]) for one in tried] == [("echo", True, "Are you there?")]
    assert "Say ok." in alloyd("provider", "test", "echo", "--org", org).out
    failed = alloyd("provider", "test", "gone", "--org", org, code=1)
    assert "not_found: provider 'gone' not found" in failed.out
