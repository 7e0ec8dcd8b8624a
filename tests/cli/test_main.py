"""The program as a whole: exit codes, where it works, what it prints on a fault, help."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from alloyd import __version__
from alloyd.cli.main import program
from alloyd.process.datadir import DataDir

from .conftest import clean_environment

ALLOYD = [sys.executable, "-m", "alloyd"]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        found += commands(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


@pytest.mark.parametrize("path", commands(program), ids=" ".join)
def test_help_of_every_command_has_an_example(run, path):
    said = run(*path, "--help").out
    assert f"alloyd {path[0]}" in said.partition("Example:")[2]
    assert "--data-dir" in said
    assert "--config" in said


@pytest.mark.parametrize(
    "arguments",
    [(), ("frobnicate",), ("org", "frobnicate"), ("org", "create"), ("storage", "put", "x"), ("org", "list", "--frob")],
)
def test_wrong_usage_is_2(run, arguments):
    assert "Usage:" in run(*arguments, code=2).err


def test_config_and_data_dir_are_taken_before_and_behind(run, monkeypatch, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"

    def place(*arguments: str) -> str:
        return run(*arguments, "--json").json["data"]["dir"]["value"]

    show = ("config", "show")
    assert place(*show) == "./data"
    assert place("--data-dir", str(a), *show) == str(a)
    assert place("config", "--data-dir", str(a), "show") == str(a)
    assert place(*show, "--data-dir", str(a)) == str(a)
    assert place("--data-dir", str(b), *show, "--data-dir", str(a)) == str(a)
    monkeypatch.setenv("ALLOYD_DATA_DIR", str(b))
    assert place(*show) == str(b)
    assert place("--data-dir", str(a), *show) == str(a)
    assert place(*show, "--data-dir", str(a)) == str(a)
    file = tmp_path / "config.yaml"
    file.write_text("http: {port: 4000}\n")
    monkeypatch.setenv("ALLOYD_CONFIG", str(file))
    assert run(*show, "--json").json["http"]["port"] == {"value": 4000, "source": f"{file}:1"}


def test_config_check_tells_each_fault(run, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("http:\n  prot: 1\n  port: many\n")
    said = run("config", "check", "--config", str(file), code=1)
    assert [line.split(": ")[:2] for line in said.err.splitlines()] == [
        [f"{file}:2", "http.prot"],
        [f"{file}:3", "http.port"],
    ]
    file.write_text("http: {port: 1}\n")
    assert "no fault" in run("config", "check", "--config", str(file)).out
    assert "cannot be read" in run("config", "check", "--config", str(tmp_path / "none"), code=1).err


def test_config_show_masks_secrets(run, tmp_path, monkeypatch):
    monkeypatch.setenv("ALLOYD_METRICS__TOKEN", "very-secret-token")
    said = run("config", "show")
    assert "very-secret-token" not in said.out
    line = next(line for line in said.out.splitlines() if line.startswith("metrics.token"))
    assert line.split() == ["metrics.token", '"***"', "environment", "ALLOYD_METRICS__TOKEN"]


def test_a_directory_without_data(run, tmp_path):
    said = run("org", "list", "--data-dir", str(tmp_path / "none"), code=1)
    assert "alloyd init" in said.err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("arguments", [("events", "tail"), ("status",)])
def test_what_needs_the_daemon_is_3_without_it(run, tmp_path, arguments):
    run("init", "--data-dir", str(tmp_path / "data"))
    assert "alloyd serve" in run("--data-dir", str(tmp_path / "data"), *arguments, code=3).err


def test_watching_a_run_that_nobody_drives_is_3(run, tmp_path):
    at = ("--data-dir", str(tmp_path / "data"))
    run("init", *at)
    started = run("run", "start", "hello", *at, "--json")
    assert started.json["result"]["status"] == "queued"
    assert "no daemon runs" in started.err
    assert "queued" in run("run", "watch", started.json["runId"], *at, code=3).err
    ended = run("run", "start", "hello", "--wait", *at)  # its engine takes up the other as well
    assert "completed" in ended.out


def test_a_daemon_that_does_not_answer_is_3(run, tmp_path, monkeypatch):
    monkeypatch.setattr("alloyd.cli.offline.TURN_WAIT_S", 0.01)
    run("init", "--data-dir", str(tmp_path / "data"))
    with DataDir(tmp_path / "data") as owner:
        owner.lock("serve")
        assert "does not answer" in run("org", "list", "--data-dir", str(owner.root), code=3).err


def test_a_directory_in_use_by_another_command_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr("alloyd.cli.offline.TURN_WAIT_S", 0.01)
    run("init", "--data-dir", str(tmp_path / "data"))
    with DataDir(tmp_path / "data") as owner:
        owner.lock("restore")
        assert f"process {os.getpid()} (restore)" in run("org", "list", "--data-dir", str(owner.root), code=1).err
        assert "in use" in run("init", "--data-dir", str(owner.root), code=1).err
        assert "in use" in run("migrate", "--data-dir", str(owner.root), code=1).err


def test_commands_that_come_together_take_turns(tmp_path):
    environment = clean_environment(ALLOYD_DATA_DIR=str(tmp_path / "data"))
    subprocess.run([*ALLOYD, "init"], env=environment, check=True, capture_output=True)
    started = [
        subprocess.Popen(
            [*ALLOYD, "org", "create", "--slug", f"org-{number}"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for number in range(3)
    ]
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in started] == [(b"", 0)] * 3


def test_version(run):
    assert run("version").out.startswith(f"alloyd {__version__} (Python ")
    assert run("version", "--json").json["alloyd"] == __version__
    for word in ("version", "--version"):
        quick = subprocess.run([*ALLOYD, word], capture_output=True, text=True, check=True)
        assert quick.stdout == run("version").out


def test_version_does_not_load_the_program():
    said = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "alloyd", "version"], capture_output=True, text=True, check=True
    ).stderr
    assert "alloyd.cli.version" in said
    for heavy in ("aiohttp", "rich", "click", "alloyd.app"):
        assert f" {heavy}\n" not in said


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(run, shell):
    assert "_ALLOYD_COMPLETE" in run("completion", shell).out
    run("completion", "tcsh", code=2)


def test_completion_of_a_word():
    environment = clean_environment(_ALLOYD_COMPLETE="bash_complete", COMP_WORDS="alloyd stor", COMP_CWORD="1")
    said = subprocess.run(ALLOYD, env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["plain,storage"]


def test_docs(run):
    assert run("docs", "cli").out.startswith("# The command line")
    topics = run("docs").out.splitlines()[1:]
    for line in topics:
        assert run("docs", line.split()[0]).out
    run("docs", "nothing", code=2)


def test_a_reader_that_has_enough(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen([*ALLOYD, "config", "show"], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 141


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_is_no_fault(closed):
    script = f'exec "$@" {closed}'
    done = subprocess.run(["sh", "-c", script, "sh", *ALLOYD, "config", "show"], capture_output=True, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)


def test_interrupted_while_it_follows(standing):
    command = [*ALLOYD, "--data-dir", str(standing.data_dir), "events", "tail", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
    # A folder is made until the first event has come: only then it is sure that the stream is open.
    with subprocess.Popen(
        ["sh", "-c", 'n=0; while n=$((n+1)); do "$@" storage mkdir "tail/$n" >&- || exit; done', "sh", *command[:5]],
        stderr=subprocess.DEVNULL,
    ) as maker:
        line = process.stdout.readline()
        maker.kill()
    assert b'"kind": "storage_folder.created"' in line
    process.send_signal(signal.SIGINT)
    _out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in errors


def test_on_a_terminal(standing, tmp_path):
    """A bar and colours for people, and no character of what is shown reaches the terminal unescaped."""
    environment = clean_environment(ALLOYD_DATA_DIR=str(standing.data_dir), TERM="xterm", COLUMNS="120")
    step = '{"key": "a", "operation": "workflow.finish", "config": {"output": "{{ trigger }}"}}'
    definition = f'{{"name": "evil", "nodes": [{step}]}}'
    subprocess.run([*ALLOYD, "workflow", "apply", "-f", "-"], input=definition, text=True, env=environment, check=True)
    payload = '{"x": "\\u001b]0;owned\\u0007 \\u202e \\u009b31m"}'
    shown = on_terminal([*ALLOYD, "run", "start", "evil", "--input", payload, "--wait"], environment)
    assert "]0;owned" in shown
    for char in ("\x1b]0;", "\x07", "\u202e", "\x9b"):
        assert char not in shown
    run_id = shown.split()[1]
    watched = on_terminal([*ALLOYD, "run", "watch", run_id], environment)
    assert "workflow.run.completed" in watched
    assert "evil" in on_terminal([*ALLOYD, "workflow", "list"], environment)
    assert "ok" in on_terminal([*ALLOYD, "doctor"], environment)


def on_terminal(command: list[str], environment: dict[str, str]) -> str:
    """What ``command`` writes to a terminal."""
    parent, child = pty.openpty()
    process = subprocess.Popen(command, stdout=child, stderr=child, stdin=child, env=environment)
    os.close(child)
    shown = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # how a terminal ends
            break
        if not piece:
            break
        shown += piece
    os.close(parent)
    assert process.wait(60) == 0, shown
    return shown.decode()


def test_a_name_that_is_not_text(run, tmp_path):
    run("init", "--data-dir", str(tmp_path / "data"))
    name = os.fsdecode(bytes(tmp_path) + b"/\xff.txt")
    Path(name).write_bytes(b"x")
    assert "not UTF-8" in run("--data-dir", str(tmp_path / "data"), "storage", "put", name, "/", code=1).err
