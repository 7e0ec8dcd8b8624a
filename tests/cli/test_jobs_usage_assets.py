"""`alloyd job`, `usage` and `asset`, with a daemon and without: the same outcomes."""

from __future__ import annotations

import json

import pytest


def test_jobs(alloyd):
    done = alloyd("job", "submit", "text", "hello", "--wait", "--json").json
    assert (done["status"], done["output"]["text"], done["provider_id"]) == ("completed", "hello", "echo")
    told = alloyd("job", "submit", "text", "--input", '{"prompt": "hi"}', "--params", '{"max_tokens": 5}', "--wait").out
    assert "completed" in told
    assert '"hi"' in told
    assert alloyd("job", "show", done["id"], "--json").json == done
    assert "completed" in alloyd("job", "show", done["id"]).out
    assert done["id"] in {job["id"] for job in alloyd("job", "list", "--json").json}
    assert done["id"] in alloyd("job", "list", "--status", "completed", "--modality", "text").out
    kinds = [json.loads(line)["kind"] for line in alloyd("job", "watch", done["id"], "--json").out.splitlines()]
    assert kinds == ["job.created", "job.started", "job.completed"]
    assert "job.completed" in alloyd("job", "watch", done["id"]).out
    assert "conflict" in alloyd("job", "cancel", done["id"], code=1).err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("submit", "text"), 2, "either TEXT or --input"),
        (("submit", "text", "a", "--input", "1"), 2, "either TEXT or --input"),
        (("submit", "text", "--input", "{"), 2, "not JSON"),
        (("submit", "smell", "a"), 1, "not_found"),
        (("show", "nowhere"), 1, "not_found"),
    ],
)
def test_bad_jobs(alloyd, arguments, code, said):
    assert said in alloyd("job", *arguments, code=code).err


def test_usage(alloyd):
    job = alloyd("job", "submit", "text", "hello", "--wait", "--json").json
    report = alloyd("usage", "show", "--json").json
    assert job["id"] in {line["id"] for line in report["by_job"]}
    told = alloyd("usage", "show", "--by", "model", "--by", "day").out
    assert "MODEL" in told
    assert "echo" in told
    assert job["id"] in {record["job_id"] for record in alloyd("usage", "records", "--json").json}
    assert job["id"] in alloyd("usage", "records").out
    assert alloyd("usage", "budget", "--json").json["limit_usd"] is None
    assert "none" in alloyd("usage", "budget").out
    assert "from" in alloyd("usage", "show", "--from", "yesterday", code=1).err


def test_assets(alloyd, tmp_path):
    source, dest = tmp_path / "picture.png", tmp_path / "copy.png"
    source.write_bytes(bytes(range(256)) * 5000)
    asset = alloyd("asset", "put", str(source), "--json").json
    assert (asset["filename"], asset["content_type"], asset["size_bytes"]) == ("picture.png", "image/png", 1_280_000)
    assert alloyd("asset", "get", asset["id"], str(dest)).out == f"{dest}\n"
    assert dest.read_bytes() == source.read_bytes()
    assert sorted(tmp_path.glob(".*.part")) == []
    assert asset in alloyd("asset", "list", "--json").json
    assert "picture.png" in alloyd("asset", "list").out
    assert alloyd("asset", "rm", asset["id"]).out == f"{asset['id']}\n"
    assert "not_found" in alloyd("asset", "rm", asset["id"], code=1).err
    assert "not_found" in alloyd("asset", "get", asset["id"], str(dest), code=1).err
    assert "cannot be read" in alloyd("asset", "put", str(tmp_path / "nothing"), code=1).err
    named = alloyd("asset", "put", str(source), "--name", "x.txt", "--type", "text/plain", "--json").json
    assert (named["filename"], named["content_type"]) == ("x.txt", "text/plain")
