"""`alloyd bench` and `alloyd torture`: on a real daemon, without touching anything else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from alloyd.cli import torture
from alloyd.cli.torture import Findings, Ledger, _look


def _alloyd(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alloyd", *arguments],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_torture_finds_what_was_acknowledged(tmp_path: Path) -> None:
    done = _alloyd(tmp_path, "torture", "--kills", "3", "--connections", "4", "--seed", "7", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["kills"], told["seed"], told["wrong"]) == (3, 7, [])
    assert told["acknowledged"] == told["found"]
    assert told["found"]["runs"] > 0
    assert list(tmp_path.iterdir()) == []


def test_bench_tells_figures_with_units(tmp_path: Path) -> None:
    done = _alloyd(tmp_path, "bench", "--seconds", "0.1", "--connections", "2", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {figure["unit"] for figure in told["figures"]} == {"1/s", "ms", "MiB/s"}
    assert all(figure["value"] > 0 for figure in told["figures"])
    assert told["machine"]["cpus"] == os.cpu_count()
    assert list(tmp_path.iterdir()) == []


class Forgetful:
    """A daemon that answers as it likes."""

    def __init__(self, runs: list[dict[str, object]], file: tuple[int, bytes]) -> None:
        self.runs, self.file = runs, file

    async def list_all(self, _path: str):
        for run in self.runs:
            yield run

    async def fetch(self, _method: str, _path: str) -> tuple[int, bytes]:
        return self.file


RIGHT = {"id": "a", "status": "completed", "output": {"sum": 3}}


@pytest.mark.parametrize(
    ("runs", "file", "told"),
    [
        ([RIGHT, {"id": "nobody heard of it", "status": "failed", "output": None}], (200, b""), []),
        ([], (200, b""), ["1 acknowledged runs are not there"]),
        ([{**RIGHT, "status": "failed"}], (200, b""), ["run a is failed"]),
        ([{**RIGHT, "output": {"sum": 4}}], (200, b""), ["run a is completed with {'sum': 4}"]),
        ([RIGHT], (404, b""), ["file torture/f: status 404"]),
        ([RIGHT], (200, b"other"), ["file torture/f: status 200"]),
    ],
)
async def test_what_is_lost_is_found_to_be(
    runs: list[dict[str, object]], file: tuple[int, bytes], told: list[str]
) -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    ledger = Ledger(runs={"a": 1}, files={"torture/f": empty})
    found = await _look(Forgetful(runs, file), ledger)  # type: ignore[arg-type]
    assert isinstance(found, Findings)
    assert len(found.wrong) == len(told)
    for said, wanted in zip(found.wrong, told, strict=True):
        assert said.startswith(wanted)


def test_the_workflow_tests_what_it_says() -> None:
    assert [node["operation"] for node in torture.WORKFLOW["nodes"]] == ["transform", "workflow.delay", "transform"]
