"""`alloyd objects`, with a daemon and without."""

from __future__ import annotations

import json

import pytest


def test_usage(alloyd):
    places = alloyd("objects", "usage", "--json").json
    assert (places["backend"], places["local"]["configured"], places["s3"]) == (
        "local",
        True,
        {"configured": False, "files": 0, "bytes": 0},
    )
    told = alloyd("objects", "usage").out
    assert "not configured" in told
    assert "new ones" in told


def test_list(alloyd, tmp_path):
    file = tmp_path / "flow.json"
    node = {"key": "put", "operation": "storage.put_object", "config": {"filename": "told.txt", "content": "hello"}}
    file.write_text(json.dumps({"name": "tell-objects", "nodes": [node]}))
    alloyd("workflow", "apply", "-f", str(file))
    alloyd("run", "start", "tell-objects", "--wait")
    found = [one for one in alloyd("objects", "list", "--json").json if one["filename"] == "told.txt"]
    assert found
    assert (found[0]["size_bytes"], found[0]["backend"], found[0]["direction"]) == (5, "local", "output")
    assert found[0]["object_key"] in alloyd("objects", "list", "--limit", "5").out


@pytest.mark.parametrize("to", ["s3", "local"])
def test_migrate_without_a_bucket(alloyd, to):
    assert "not configured" in alloyd("objects", "migrate", "--to", to, code=1).err


def test_migrate_to_nowhere(alloyd):
    assert "--to" in alloyd("objects", "migrate", code=2).err
    assert "invalid" in alloyd("objects", "migrate", "--to", "tape", code=2).err.lower()
