"""Objects of the executable in a bucket: its S3 client is compiled code, which has to be packed whole."""

from __future__ import annotations

import json
import urllib.request

import pytest

from tests.bucket import serve_bucket

CONTENT = "in the bucket, héllo " * 1000
NODE = {"key": "put", "operation": "storage.put_object", "config": {"filename": "a.txt", "content": CONTENT}}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    with serve_bucket(tmp_path_factory.mktemp("s3") / "root") as bucket:
        yield bucket


def control(daemon, method: str, path: str, body=None):
    data = b"" if body is None else json.dumps(body).encode()
    _status, answer = daemon.request(method, f"/v1{path}", data, Authorization=f"Bearer {daemon.key}")
    return answer["data"]


def test_an_object_goes_to_the_bucket_and_comes_back(start, command, bucket):
    daemon = start(**bucket.environment())
    workflow = control(daemon, "POST", "/workflow-definitions", {"name": "put", "nodes": [NODE]})
    run = control(daemon, "POST", "/workflow-runs", {"workflow_definition_id": workflow["id"], "context": {}})
    control(daemon, "POST", f"/workflow-runs/{run['id']}/start", {})
    command("run", "watch", run["id"])
    ended = control(daemon, "GET", f"/workflow-runs/{run['id']}")
    assert ended["status"] == "completed", ended
    output = ended["steps"][0]["output"]
    (stored,) = bucket.files()
    assert stored.read_bytes() == CONTENT.encode()
    # The key leads to a signed URL of the bucket.
    url = f"{daemon.url}/api/v1/objects/download?objectKey={output['object_key']}"
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert answer.url.startswith(f"{bucket.url}/")
        assert answer.read() == CONTENT.encode()
    assert daemon.stop() == 0
    assert "late import" not in daemon.errors()
