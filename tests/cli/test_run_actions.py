"""`alloyd run retry`, `run signal` and `dead-letter`, with a daemon and without: the same outcomes."""

from __future__ import annotations

FAILING = b"name: failing\nnodes: [{key: a, operation: workflow.finish, config: {output: '{{ trigger.none.x }}'}}]\n"
WAITING = b"name: waiting\nnodes: [{key: w, operation: workflow.wait_event, config: {event: go}}]\n"


def failed_run(alloyd, org) -> str:
    alloyd("workflow", "apply", "-f", "-", "--org", org, stdin=FAILING)
    return str(alloyd("run", "start", "failing", "--org", org, "--json", "--wait", code=1).json["runId"])


def test_retry(alloyd, org):
    run_id = failed_run(alloyd, org)
    made = alloyd("run", "retry", run_id, "--from", "start", "--org", org, "--json").json
    assert made["retry_of"] == run_id
    assert "run " in alloyd("run", "retry", run_id, "--version", "latest", "--org", org).out
    assert "no step 'x'" in alloyd("run", "retry", run_id, "--from", "x", "--org", org, code=1).err


def test_signal(alloyd, org):
    alloyd("workflow", "apply", "-f", "-", "--org", org, stdin=WAITING)
    run_id = alloyd("run", "start", "waiting", "--org", org, "--wait=1", "--json", code=1).json["runId"]
    assert "conflict" in alloyd("run", "signal", run_id, "other", "--org", org, code=1).err
    assert "--data" in alloyd("run", "signal", run_id, "go", "--data", "{", "--org", org, code=2).err
    said = alloyd("run", "signal", run_id, "go", "--data", '{"x": 1}', "--org", org)
    assert said.out.startswith("step w of run ")


def test_dead_letters(alloyd, org):
    at = ("--org", org)
    first, second = failed_run(alloyd, org), failed_run(alloyd, org)
    assert [run["id"] for run in alloyd("dead-letter", "list", *at, "--json").json] == [second, first]
    listed = alloyd("dead-letter", "list", "--workflow", "failing", *at).out
    assert first in listed
    assert "failing" in listed
    assert alloyd("dead-letter", "requeue", first, *at, "--json").json["retry_of"] == first
    assert "discarded" in alloyd("dead-letter", "discard", second, *at).out
    assert "dead letter" in alloyd("dead-letter", "requeue", second, *at, code=1).err
