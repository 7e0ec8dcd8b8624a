"""The executable's unpack directory: what killed ones left is swept, the own one goes once all is loaded.

A one-file executable unpacks itself into ``_MEI<pid><random>`` under the temporary directory and runs as the child of
its first process. Three things go wrong with that elsewhere, and are dealt with here: a killed process leaves its
directory behind; a cleaner of ``/tmp`` takes the directory away under a running daemon, which then fails at the
first import it had put off; killing the first process leaves the second one running. Not frozen, nothing here acts.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import importlib.machinery
import os
import re
import shutil
import signal
import stat
import sys
import time
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from alloyd.log import get_logger
from alloyd.process import preloaded

_log: Final = get_logger(__name__)

MARKER: Final = "alloyd.unpacked"  # packaging/contents.py puts it there before everything else
# Younger ones may belong to a process of another PID namespace that has not taken its lock yet.
LEFTOVER_AGE_S_MIN: Final = 60.0

_NAME: Final = re.compile(r"_MEI([0-9a-f]{8})[A-Za-z0-9]{6}\Z")
_PR_SET_PDEATHSIG: Final = 1
_LOADER_VARIABLES: Final = ("_PYI_ARCHIVE_FILE", "_PYI_APPLICATION_HOME_DIR", "_PYI_PARENT_PROCESS_LEVEL")
_ADDRESSED_VARIABLES: Final = ("WATCHDOG_PID", "LISTEN_PID")
_CERTIFICATE_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)

_kept_open: list[int] = []  # the descriptor that holds the lock, for the life of the process


def own_directory() -> Path | None:
    """Where this process is unpacked; None when it runs from its sources."""
    found = getattr(sys, "_MEIPASS", None)
    return Path(found) if found and getattr(sys, "frozen", False) else None


def own_command() -> list[str]:
    """How to start this same program as another process."""
    return [sys.executable] if own_directory() else [sys.executable, "-m", "alloyd"]


def settle() -> None:
    """Called first thing in the program: die with the first process, give children a clean environment, sweep.

    Ends the process at once if the first one is already gone.
    """
    own = own_directory()
    if own is None:
        return
    first = _owner_of(own.name)
    _die_with(first)
    restore_environment(os.environ, first)
    find_certificates(os.environ)
    descriptor = os.open(own / MARKER, os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _kept_open.append(descriptor)
    for leftover in find_leftovers(own.parent, own, time.time()):
        shutil.rmtree(leftover, ignore_errors=True)


def seal() -> None:
    """Called by the daemon when it is up: loads what libraries would import later, and deletes the directory.

    From here on nobody can take it away, and not even ``kill -9`` leaves one behind. A later import of what is not
    loaded fails if it needs a file; it is logged as ``late import`` either way.
    """
    own = own_directory()
    if own is None:
        return
    preloaded.load()
    # The first process hands on what the terminal sends it; in its group, Ctrl-C would arrive twice and mean "at once".
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    shutil.rmtree(own, ignore_errors=True)
    atexit.register(_give_back, own)
    sys.meta_path.insert(0, LateImports())


def _give_back(own: Path) -> None:
    """The first process warns when it finds no directory to remove at the end."""
    with contextlib.suppress(OSError):
        own.mkdir(mode=0o700)


def find_leftovers(room: Path, own: Path, now_s: float) -> list[Path]:
    """Directories in ``room`` that killed alloyds of this user left: marked, old enough, not ``own``, not in use."""
    with os.scandir(room) as entries:
        named = [entry for entry in entries if _NAME.match(entry.name) and entry.path != str(own)]
    return sorted(Path(entry.path) for entry in named if _is_leftover(entry, now_s))


def _is_leftover(entry: os.DirEntry[str], now_s: float) -> bool:
    try:
        about = entry.stat(follow_symlinks=False)
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or _is_alive(_owner_of(entry.name)):
            return False
        if now_s - about.st_mtime < LEFTOVER_AGE_S_MIN:
            return False
        return not _is_locked(Path(entry.path) / MARKER)
    except OSError:  # somebody else was faster, or it is not marked
        return False


def _is_locked(marker: Path) -> bool:
    descriptor = os.open(marker, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _owner_of(name: str) -> int:
    """The process that a directory's name tells: the first process of the executable."""
    match = _NAME.match(name)
    return int(match[1], 16) if match else 0


def _is_alive(pid: int) -> bool:
    return pid > 0 and Path(f"/proc/{pid}").exists()


def _die_with(parent: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent and os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def restore_environment(environment: MutableMapping[str, str], first: int) -> None:
    """Take out what the loader put in, so that other programs get their own libraries and an alloyd its own start.

    What systemd meant for the process that it started, ``first``, is meant for this one.
    """
    for name in _ADDRESSED_VARIABLES:
        if environment.get(name) == str(first):
            environment[name] = str(os.getpid())
    for name in _LOADER_VARIABLES:
        environment.pop(name, None)
    original = environment.pop("LD_LIBRARY_PATH_ORIG", None)
    if original is None:
        environment.pop("LD_LIBRARY_PATH", None)
    else:
        environment["LD_LIBRARY_PATH"] = original


def find_certificates(environment: MutableMapping[str, str], known: Sequence[str] = _CERTIFICATE_FILES) -> None:
    """Name the system's certificate authorities: the packed OpenSSL only knows where they are on Debian."""
    if "SSL_CERT_FILE" in environment or "SSL_CERT_DIR" in environment:
        return
    for path in known:
        if Path(path).is_file():
            environment["SSL_CERT_FILE"] = path
            return


class LateImports:
    """Finds no module; tells the log of imports that come after :func:`seal`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Part of the import protocol."""
        _log.warning("late import", module=fullname)
        return None
