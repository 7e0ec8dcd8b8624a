"""The executable's unpack directory: which leftovers go, which stay, and what children inherit.

The parts that need a frozen process are held by tests/binary.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

import pytest

from alloyd.process import preloaded, unpacked

NOW_S = 1_000_000_000.0
DEAD = 2**31 - 1  # above every possible process id


def leave(room, pid=DEAD, tail="abcdef", age_s=3600.0, marked=True):
    """A directory as a killed executable leaves it."""
    path = room / f"_MEI{pid:08x}{tail}"
    path.mkdir(mode=0o700)
    if marked:
        (path / unpacked.MARKER).write_text("")
    os.utime(path, (NOW_S - age_s, NOW_S - age_s))
    return path


def find(room):
    return unpacked.find_leftovers(room, room / "_MEI00000001owndir", NOW_S)


def test_a_killed_process_directory_is_found(tmp_path):
    assert find(tmp_path) == []
    left = [leave(tmp_path, tail="abcdef"), leave(tmp_path, tail="ghijkl")]
    assert find(tmp_path) == left


def test_the_own_directory_stays(tmp_path):
    own = leave(tmp_path)
    assert unpacked.find_leftovers(tmp_path, own, NOW_S) == []


def test_another_program_s_directory_stays(tmp_path):
    leave(tmp_path, marked=False)
    assert find(tmp_path) == []


def test_a_living_process_directory_stays(tmp_path):
    leave(tmp_path, pid=os.getpid())
    assert find(tmp_path) == []


def test_a_young_directory_stays(tmp_path):
    leave(tmp_path, age_s=unpacked.LEFTOVER_AGE_S_MIN - 1)
    assert find(tmp_path) == []


def test_a_locked_directory_stays_while_it_is_locked(tmp_path):
    left = leave(tmp_path)
    with open(left / unpacked.MARKER) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert find(tmp_path) == []
    assert find(tmp_path) == [left]


@pytest.mark.parametrize("name", ["_MEI123456", "_MEIzzzzzzzzabcdef", "_MEI00000001abcdef.txt", "x_MEI00000001abcdef"])
def test_other_names_stay(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / unpacked.MARKER).write_text("")
    os.utime(tmp_path / name, (0, 0))
    assert find(tmp_path) == []


def test_links_and_files_stay(tmp_path):
    real = tmp_path / "real"
    real.mkdir()
    (real / unpacked.MARKER).write_text("")
    (tmp_path / f"_MEI{DEAD:08x}abcdef").symlink_to(real)
    (tmp_path / f"_MEI{DEAD:08x}ghijkl").write_text("")
    assert find(tmp_path) == []


def test_a_marker_that_is_a_link_is_not_followed(tmp_path):
    left = leave(tmp_path, marked=False)
    (left / unpacked.MARKER).symlink_to("/etc/passwd")
    os.utime(left, (0, 0))
    assert find(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a directory away")
def test_another_user_s_directory_stays(tmp_path):
    os.chown(leave(tmp_path), 65534, 65534)
    assert find(tmp_path) == []


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"LD_LIBRARY_PATH": "/tmp/_MEI1"}, {}),
        ({"LD_LIBRARY_PATH": "/tmp/_MEI1:/opt", "LD_LIBRARY_PATH_ORIG": "/opt"}, {"LD_LIBRARY_PATH": "/opt"}),
        ({"_PYI_ARCHIVE_FILE": "a", "_PYI_APPLICATION_HOME_DIR": "b", "_PYI_PARENT_PROCESS_LEVEL": "1"}, {}),
        ({"PATH": "/bin"}, {"PATH": "/bin"}),
        ({"WATCHDOG_PID": "77", "LISTEN_PID": "7"}, {"WATCHDOG_PID": str(os.getpid()), "LISTEN_PID": "7"}),
    ],
)
def test_children_get_a_clean_environment(given, left):
    unpacked.restore_environment(given, 77)
    assert given == left


def test_certificates_are_looked_for_where_systems_have_them(tmp_path):
    (tmp_path / "b.pem").write_text("")
    environment: dict[str, str] = {}
    known = [str(tmp_path / "a.pem"), str(tmp_path / "b.pem")]
    unpacked.find_certificates(environment, known)
    assert environment == {"SSL_CERT_FILE": known[1]}


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_chosen_certificates_are_kept(tmp_path, name):
    (tmp_path / "a.pem").write_text("")
    environment = {name: "/chosen"}
    unpacked.find_certificates(environment, [str(tmp_path / "a.pem")])
    assert environment == {name: "/chosen"}


def test_no_certificates_is_no_fault(tmp_path):
    environment: dict[str, str] = {}
    unpacked.find_certificates(environment, [str(tmp_path / "a.pem")])
    assert environment == {}


def test_from_sources_nothing_happens():
    before, finders = dict(os.environ), list(sys.meta_path)
    unpacked.settle()
    unpacked.seal()
    assert (dict(os.environ), list(sys.meta_path), unpacked.own_directory()) == (before, finders, None)


def test_own_command_starts_this_python():
    assert unpacked.own_command() == [sys.executable, "-m", "alloyd"]


def test_late_imports_are_left_to_others():
    assert unpacked.LateImports().find_spec("colorsys") is None


def test_codecs_are_loaded_beforehand():
    code = (
        "import sys\nfrom alloyd.process import preloaded\npreloaded.load()\n"
        "print(all('encodings.' + name in sys.modules for name in ('idna', 'punycode', 'utf_16', 'latin_1')))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"
    assert preloaded.MODULES
