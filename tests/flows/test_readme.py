"""The README's first session, run as pasted: two terminals, a fresh copy of the project, only the ports differ."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"```sh\n# terminal (\d)\n(.*?)```", re.DOTALL)
_DEADLINE_S = 90


def read_blocks() -> list[tuple[int, str]]:
    """The README's shell blocks, each with its terminal's number."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [(int(terminal), code) for terminal, code in _BLOCK.findall(text)]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Session:
    """Two terminals in a folder that holds only what a clone would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.api_port, self.other_port = free_port(), free_port()
        self.daemon: subprocess.Popen[str] | None = None
        self.daemon_says: list[str] = []
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ALLOYD_HTTP__PORT": str(self.api_port),
            "REPOSITORY": "unused",
        }
        self.variables = ""

    def localized(self, code: str) -> str:
        return code.replace("127.0.0.1:3001", f"127.0.0.1:{self.api_port}").replace("8000", str(self.other_port))

    def start(self, code: str) -> None:
        """Terminal 1: leave what runs there by Ctrl-C, start the daemon, wait until it listens."""
        self.stop()
        code = "\n".join(line for line in code.splitlines() if not line.startswith("git clone"))
        self.daemon = subprocess.Popen(
            ["bash", "-ec", self.localized(code)],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            stderr=subprocess.STDOUT,
        )
        assert self.daemon.stdout is not None
        for line in self.daemon.stdout:
            self.daemon_says.append(line)
            if line.startswith("listening"):
                return
        raise AssertionError(f"the daemon did not listen: {self.daemon_says}")

    def stop(self) -> None:
        if self.daemon is None:
            return
        if self.daemon.poll() is None:
            os.killpg(self.daemon.pid, signal.SIGINT)
        self.daemon.communicate(timeout=_DEADLINE_S)
        self.daemon = None

    def paste(self, code: str) -> str:
        """Terminal 2: what it prints. Variables live from block to block, as in one shell."""
        keep = "\ndeclare -p API KEY RUN 2>/dev/null > .session || true\n"
        script = (
            f'export PATH="$PWD/.venv/bin:$PATH" ALLOYD_DATA_DIR=data\n[ -e .session ] && . ./.session\n{code}{keep}'
        )
        shell = subprocess.Popen(
            ["bash", "-c", self.localized(script)],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            said, errors = shell.communicate(timeout=_DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)  # what the shell started holds its pipes open
            raise
        assert shell.returncode == 0, errors
        assert "rror" not in errors, errors
        return said


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A copy of what git has, with the environment that `make test` made."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, names.split("\0")):
        if (ROOT / name).exists():
            target = tmp_path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
            os.utime(target, (0, 0))  # older than the environment's stamps: make must not install this copy into it
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    made = Session(tmp_path)
    yield made
    made.stop()
    subprocess.run(["pkill", "-f", f"http.server {made.other_port}"], check=False)


def test_the_first_session_works_as_pasted(session: Session) -> None:
    printed: list[str] = []
    for terminal, code in read_blocks():
        if terminal == 1:
            session.start(code)
        else:
            printed.append(session.paste(code))

    first, _started, last, more, teammate = printed
    assert '"path":"invoices/invoice.pdf"' in first
    assert '"mime_type":"application/pdf"' in first
    assert '"greeting":"Hello, Ada!"' in first
    assert sum("alloy_" in line for line in session.daemon_says) == 1, "the owner's key is printed once in all"

    events, _, rest = last.partition('{"sha256"')
    kinds = re.findall(r"^event: (.+)$", events, re.MULTILINE)
    ids = [int(text) for text in re.findall(r"^id: (\d+)$", events, re.MULTILINE)]
    assert ids == sorted(set(ids))
    assert kinds[0] == "workflow.run.queued"
    assert kinds[-1] == "workflow.run.completed", last
    assert [kind for kind in kinds if kind == "workflow.node.completed"] == ["workflow.node.completed"] * 4
    result, _ = json.JSONDecoder().raw_decode('{"sha256"' + rest)
    assert result["licence_chars"] == len((ROOT / "LICENSE").read_text())

    assert '"provider_id":"echo"' in more
    assert "Workflow nightly: would be created" in more
    assert "Workflow nightly: created" in more
    assert re.search(r"^[0-9]+ rows are whole$", more, re.MULTILINE)

    answers = [json.loads(line) for line in re.sub(r"\}\s*\{", "}\n{", teammate).splitlines()]
    assert "Good morning" in answers[0]["data"]["reply"]
    assert "Hello, Grace!" in answers[1]["choices"][0]["message"]["content"]


def test_the_readme_has_both_terminals() -> None:
    assert [terminal for terminal, _code in read_blocks()] == [1, 2, 1, 2, 1, 2, 2, 2]
