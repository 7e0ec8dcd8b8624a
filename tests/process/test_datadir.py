"""The data directory: layout, permissions, and one owner at a time, also between processes."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alloyd.errors import AlloydError, Code
from alloyd.process import datadir
from alloyd.process.datadir import DataDir, LockOwner, fsync_dir

FOLDERS = ("backups", "blobs", "keys", "tmp")


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataDir]:
    with DataDir(tmp_path / "data") as data:
        data.prepare()
        yield data


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def code_of(call: Callable[[], object]) -> Code:
    """The code of the error, whose message must not have a path in it; its log must."""
    with pytest.raises(AlloydError) as caught:
        call()
    assert "/" not in caught.value.message
    return caught.value.code


@pytest.fixture
def other_process(data: DataDir) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock."""
    code = (
        "import sys; from alloyd.process.datadir import DataDir; data = DataDir(sys.argv[1]);"
        "data.lock('serve'); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(data.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(datadir.__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


class TestPrepare:
    def test_it_makes_everything_for_its_owner_only(self, tmp_path: Path) -> None:
        data = DataDir(tmp_path / "a" / "b" / "data")
        assert data.prepare() == []
        assert sorted(path.name for path in data.root.iterdir()) == list(FOLDERS)
        assert [mode(path) for path in (data.root, *data.root.iterdir())] == [0o700] * 5
        assert (data.database.name, data.socket.name, data.lock_file.name) == (
            "alloyd.db",
            "alloyd.sock",
            "alloyd.lock",
        )

    def test_it_leaves_what_is_there(self, data: DataDir) -> None:
        data.database.write_text("x")
        (data.blobs / "b").write_text("y")
        assert data.prepare() == []
        assert data.database.read_text() == "x"
        assert (data.blobs / "b").read_text() == "y"

    def test_a_relative_path_is_made_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        data = DataDir("data")
        monkeypatch.chdir("/")
        assert data.root == tmp_path / "data"

    def test_keys_that_are_open_to_others_are_closed(self, data: DataDir) -> None:
        data.keys.chmod(0o755)
        data.prepare()
        assert mode(data.keys) == 0o700

    def test_keys_that_cannot_be_closed_are_refused(self, data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
        data.keys.chmod(0o755)

        def denied(*_args: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(Path, "chmod", denied)
        assert code_of(data.prepare) is Code.UNAVAILABLE

    @pytest.mark.parametrize("open_mode", [0o777, 0o1777, 0o702])
    def test_a_directory_that_anybody_may_write_to_is_refused(self, data: DataDir, open_mode: int) -> None:
        data.root.chmod(open_mode)
        assert code_of(data.prepare) is Code.CONFLICT
        assert mode(data.root) == open_mode

    def test_a_directory_that_others_may_read_gets_advice_and_stays(self, data: DataDir) -> None:
        data.root.chmod(0o755)
        (advice,) = data.prepare()
        assert "755" in advice
        assert mode(data.root) == 0o755

    def test_a_directory_of_another_user_gets_advice(self, data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: data.root.stat().st_uid + 1)
        (advice,) = data.prepare()
        assert "another user" in advice

    @pytest.mark.parametrize("taken", ["data", "data/blobs"])
    def test_a_file_in_the_way_is_told(self, tmp_path: Path, taken: str) -> None:
        (tmp_path / taken).parent.mkdir(exist_ok=True)
        (tmp_path / taken).write_text("x")
        assert code_of(DataDir(tmp_path / "data").prepare) is Code.UNAVAILABLE

    def test_a_parent_that_is_a_file_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(AlloydError) as caught:
            DataDir(tmp_path / "file" / "data").prepare()
        assert caught.value.message == "the data directory cannot be made: not a directory"
        assert str(tmp_path / "file" / "data") in (caught.value.log or "")

    def test_a_parent_that_is_read_only_is_told(self) -> None:
        assert code_of(DataDir("/proc/alloyd/data").prepare) is Code.UNAVAILABLE

    def test_a_directory_without_access_is_told(self, data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(AlloydError, match="the data directory cannot be written to: permission denied"):
            data.prepare()


class TestLock:
    def test_a_second_one_is_refused_and_told_who_has_it(self, data: DataDir, monkeypatch) -> None:
        monkeypatch.setattr(datadir, "LOCK_PAUSE_S", 0)
        data.lock("serve")
        second = DataDir(data.root)
        with pytest.raises(AlloydError) as caught:
            second.lock("command")
        assert caught.value.code is Code.CONFLICT
        assert caught.value.message == f"the data directory is in use by process {os.getpid()} (serve)"
        assert (data.locked, second.locked) == (True, False)
        assert mode(data.lock_file) == 0o600

    def test_the_same_one_twice_is_refused(self, data: DataDir) -> None:
        data.lock("serve")
        with pytest.raises(AlloydError, match="holds the data directory already"):
            data.lock("serve")
        assert data.locked

    def test_it_is_free_after_its_release(self, data: DataDir) -> None:
        data.lock("a")
        data.release()
        data.release()
        assert not data.locked
        with DataDir(data.root) as second:
            second.lock("b")
            assert data.find_daemon() == LockOwner(os.getpid(), "b")
        assert data.find_daemon() is None

    def test_another_process_holds_it_until_it_is_killed(self, data: DataDir, other_process, monkeypatch) -> None:
        monkeypatch.setattr(datadir, "LOCK_PAUSE_S", 0)
        assert data.find_daemon() == LockOwner(other_process.pid, "serve")
        with pytest.raises(AlloydError, match=rf"in use by process {other_process.pid} \(serve\)"):
            data.lock("command")
        other_process.send_signal(signal.SIGKILL)
        other_process.wait()
        assert data.find_daemon() is None
        data.lock("command")
        assert data.find_daemon() == LockOwner(os.getpid(), "command")

    def test_another_process_gives_it_up_by_ending(self, data: DataDir, other_process) -> None:
        other_process.stdin.close()
        assert other_process.wait() == 0
        data.lock("command")

    def test_a_look_does_not_keep_the_owner_to_be_out(self, data: DataDir, monkeypatch) -> None:
        data.lock_file.touch()
        looker = os.open(data.lock_file, os.O_RDONLY)
        fcntl.flock(looker, fcntl.LOCK_SH)
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            os.close(looker)

        monkeypatch.setattr("time.sleep", pause)
        data.lock("serve")
        assert len(pauses) == 1

    @pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xff", b"12 serve extra", b"9" * 100])
    def test_an_owner_that_did_not_write_its_name_yet(self, data: DataDir, content: bytes) -> None:
        data.lock("serve")
        data.lock_file.write_bytes(content)
        owner = DataDir(data.root).find_daemon()
        assert owner == LockOwner(None, "unknown")
        assert str(owner) == "another process"

    def test_what_an_owner_left_behind_locks_nothing(self, data: DataDir) -> None:
        data.lock_file.write_text("1 serve\n")
        assert data.find_daemon() is None
        data.lock("x")
        assert data.lock_file.read_text() == f"{os.getpid()} x\n"

    def test_no_directory_no_daemon(self, tmp_path: Path) -> None:
        data = DataDir(tmp_path / "none")
        assert data.find_daemon() is None
        assert code_of(lambda: data.lock("serve")) is Code.UNAVAILABLE

    def test_a_lock_that_is_a_link_is_refused(self, data: DataDir, tmp_path: Path) -> None:
        (tmp_path / "victim").write_text("precious")
        data.lock_file.symlink_to(tmp_path / "victim")
        assert code_of(lambda: data.lock("serve")) is Code.UNAVAILABLE
        assert code_of(data.find_daemon) is Code.UNAVAILABLE
        assert (tmp_path / "victim").read_text() == "precious"

    def test_a_file_system_without_locks_is_told(self, data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
        def flock(_fd: int, _kind: int) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        data.lock_file.touch()
        monkeypatch.setattr(fcntl, "flock", flock)
        with pytest.raises(AlloydError, match="cannot be locked: no locks available"):
            data.lock("serve")
        assert code_of(data.find_daemon) is Code.UNAVAILABLE
        assert not data.locked


class TestCleanTmp:
    def test_it_empties_tmp_and_follows_no_link(self, data: DataDir, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "file").write_text("x")
        (data.tmp / "half").write_text("x")
        (data.tmp / "folder" / "deep").mkdir(parents=True)
        (data.tmp / "link").symlink_to(tmp_path / "outside")
        data.lock("serve")
        assert data.clean_tmp() == 3
        assert list(data.tmp.iterdir()) == []
        assert (tmp_path / "outside" / "file").exists()
        assert data.clean_tmp() == 0

    def test_only_the_owner_may(self, data: DataDir) -> None:
        (data.tmp / "half").write_text("x")
        with pytest.raises(AlloydError, match="only the owner"):
            data.clean_tmp()
        assert (data.tmp / "half").exists()


def test_fsync_of_a_directory_reaches_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.path.sameopenfile(fd, own)))
    own = os.open(tmp_path, os.O_RDONLY)
    fsync_dir(tmp_path)
    os.close(own)
    assert synced == [True]


def test_fsync_of_what_is_no_directory_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "none"):
        with pytest.raises(OSError, match="director"):
            fsync_dir(path)
