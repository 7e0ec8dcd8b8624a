"""The unpack directory: private, gone once the daemon is up, and never left behind for long."""

from __future__ import annotations

import os
import shutil
import signal
import stat

DEAD = 2**31 - 1  # above every possible process id


def watch_unpacking(daemon) -> os.stat_result:
    """What the directory is like while the daemon starts."""
    while daemon.process.poll() is None:
        for path in daemon.unpack_directories():
            return path.stat()
    raise AssertionError(daemon.errors())


def test_directory_is_for_the_owner_alone(start):
    daemon = start(wait=False)
    about = watch_unpacking(daemon)
    assert stat.S_IMODE(about.st_mode) == 0o700
    assert about.st_uid == os.geteuid()
    daemon.wait_until_up()


def test_directory_is_gone_once_the_daemon_is_up(start):
    daemon = start()
    assert daemon.unpack_directories() == []
    assert daemon.upload("a.txt", b"x")[0] == 200
    assert daemon.request("GET", "/readyz")[0] == 200
    assert daemon.stop() == 0
    assert daemon.unpack_directories() == []
    assert "late import" not in daemon.errors()
    assert "Failed to remove" not in daemon.errors()


def test_kill_9_leaves_no_directory(start):
    daemon = start()
    daemon.kill()
    assert daemon.unpack_directories() == []


def test_killing_the_child_ends_the_first_process(start):
    daemon = start()
    (child,) = daemon.children()
    os.kill(child, signal.SIGKILL)
    assert daemon.process.wait(60) != 0


def test_a_killed_start_is_swept_by_the_next(start, tmp_path):
    daemon = start(wait=False)
    watch_unpacking(daemon)
    daemon.kill()
    (left,) = daemon.unpack_directories()
    (left / "alloyd.unpacked").touch()  # it may have been killed before its first file
    os.utime(left, (0, 0))
    again = start()
    assert again.unpack_directories() == []


def test_leftovers_are_swept_and_foreign_ones_are_not(start, tmp_path):
    tmp = tmp_path / "tmp"
    left, foreign = tmp / f"_MEI{DEAD:08x}abcdef", tmp / f"_MEI{DEAD:08x}ghijkl"
    for path in (left, foreign):
        (path / "alloyd").mkdir(parents=True)
    (left / "alloyd.unpacked").touch()
    for path in (left, foreign):
        os.utime(path, (0, 0))
    assert start().unpack_directories() == [foreign]


def test_replacing_the_executable_leaves_the_running_one_alone(start, executable, tmp_path):
    copy = tmp_path / "alloyd"
    shutil.copy(executable, copy)
    daemon = start([copy])
    (tmp_path / "next").write_bytes(b"another version")
    (tmp_path / "next").rename(copy)
    assert daemon.upload("a.txt", b"x")[0] == 200
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.errors()


def test_commands_clean_up_after_themselves(command, tmp_path):
    command("version")
    assert list((tmp_path / "tmp").glob("_MEI*")) == []
