"""`alloyd objects migrate` between the disk and a real bucket: there and back, killed on its way, on a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from alloyd.kit.crash import EXIT_STATUS
from tests.bucket import Bucket, serve_bucket
from tests.cli.conftest import Daemon, Run, clean_environment

OBJECTS = 20  # two steps of the migration
LARGE_BYTES = 2 * 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with serve_bucket(tmp_path_factory.mktemp("s3") / "root") as bucket:
        yield bucket


@pytest.fixture
def bucket(server: Bucket) -> Bucket:
    server.empty()
    return server


def settings(bucket: Bucket) -> dict[str, str]:
    """The bucket is configured, and new objects still go to the disk."""
    return {**bucket.environment(), "ALLOYD_OBJECTS__BACKEND": "local"}


def make_objects(run: Run, data_dir: Path, folder: Path) -> None:
    """A run that puts ``OBJECTS`` objects, one of them large."""
    large, flow = folder / "large.bin", folder / "flow.json"
    large.write_bytes(os.urandom(LARGE_BYTES))
    small = [
        {"key": f"n{n}", "operation": "storage.put_object", "config": {"filename": f"{n}.txt", "content": "x" * n}}
        for n in range(OBJECTS - 1)
    ]
    copied = {"key": "large", "operation": "storage.put_object", "config": {"filename": "large", "file": "/large.bin"}}
    flow.write_text(json.dumps({"name": "put-many", "nodes": [*small, copied]}))
    run("storage", "put", str(large), "/", "--data-dir", str(data_dir))
    run("workflow", "apply", "-f", str(flow), "--data-dir", str(data_dir))
    run("run", "start", "put-many", "--wait", "--data-dir", str(data_dir))


def contents(run: Run, daemon: Daemon) -> dict[str, tuple[str, bytes]]:
    """Where each object lies and what a download gives, by its key."""
    found = run("objects", "list", "--limit", "100", "--json", "--data-dir", str(daemon.data_dir)).json
    told = {}
    for one in found:
        query = urllib.parse.urlencode({"objectKey": one["object_key"]})
        with urllib.request.urlopen(f"{daemon.url}/api/v1/objects/download?{query}", timeout=60) as answer:
            told[one["object_key"]] = (one["backend"], answer.read())
    return told


def places(run: Run, data_dir: Path) -> tuple[int, int]:
    told = run("objects", "usage", "--json", "--data-dir", str(data_dir)).json
    assert told["local"]["files"] + told["s3"]["files"] == OBJECTS
    return told["local"]["files"], told["s3"]["files"]


def blobs(data_dir: Path) -> int:
    return sum(path.is_file() for path in (data_dir / "blobs").rglob("*"))


@pytest.mark.parametrize("crash_at", ["object.uploaded:10", "object.named:18"])
def test_there_killed_on_the_way_and_back(run: Run, start, bucket: Bucket, tmp_path: Path, crash_at: str) -> None:
    data_dir = tmp_path / "data"
    daemon = start(data_dir, **settings(bucket), ALLOYD_CRASH_AT=crash_at)
    make_objects(run, data_dir, tmp_path)
    before = contents(run, daemon)
    assert {backend for backend, _content in before.values()} == {"local"}
    migrate = ("objects", "migrate", "--data-dir", str(data_dir), "--to")
    assert "the same command goes on" in run(*migrate, "s3", code=3).err
    assert daemon.wait() == EXIT_STATUS

    daemon = start(data_dir, **settings(bucket))
    there = places(run, data_dir)
    assert 0 < there[1] < OBJECTS
    halfway = contents(run, daemon)
    assert {key: content for key, (_backend, content) in halfway.items()} == {
        key: content for key, (_backend, content) in before.items()
    }
    moved = run(*migrate, "s3", "--json").json
    assert (moved["moved"], moved["damaged"]) == (there[0], [])
    assert contents(run, daemon) == {key: ("s3", content) for key, (_backend, content) in before.items()}
    assert run(*migrate, "s3", "--json").json == {"moved": 0, "bytes": 0, "damaged": []}

    assert f"moved {OBJECTS} objects, 2.0 MiB" in run(*migrate, "local").out
    assert contents(run, daemon) == before
    assert daemon.stop() == 0
    # Nothing is left of what the kill left half done, nor of what was moved away; large.bin is a stored file.
    start(data_dir, **settings(bucket)).stop()
    assert bucket.files() == []
    assert blobs(data_dir) == OBJECTS + 1


def test_offline(run: Run, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings(bucket).items():
        monkeypatch.setenv(name, value)
    data_dir = tmp_path / "data"
    run("init", "--data-dir", str(data_dir))
    make_objects(run, data_dir, tmp_path)
    for to, told in (("s3", (0, OBJECTS)), ("local", (OBJECTS, 0))):
        assert run("objects", "migrate", "--to", to, "--json", "--data-dir", str(data_dir)).json["moved"] == OBJECTS
        assert places(run, data_dir) == told


def test_a_bar_on_a_terminal(run: Run, start, bucket: Bucket, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    start(data_dir, **settings(bucket))
    make_objects(run, data_dir, tmp_path)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "alloyd", "objects", "migrate", "--to", "s3", "--data-dir", str(data_dir)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, env=clean_environment(TERM="xterm", COLUMNS="100")
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65_536):
                shown += piece
        except OSError:  # the terminal's other side is closed
            pass
        out, _none = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0
    assert f"moved {OBJECTS} objects" in out.decode()
    text = shown.decode()
    assert "to s3" in text
    assert "2.1/2.1 MB" in text
