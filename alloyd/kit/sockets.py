"""Sockets whose path is longer than Linux takes: reached through the folder that they are in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

PATH_BYTES_MAX: Final = 107

# Open for the life of the process: whoever has such a path may use it at any time.
_folders: dict[Path, int] = {}


def reachable(path: Path) -> str:
    """A path to the socket at ``path`` that can be bound or connected to, whatever its length.

    Raises OSError when there is no such folder.
    """
    if len(os.fsencode(path)) <= PATH_BYTES_MAX:
        return str(path)
    return f"/proc/self/fd/{_opened(path.parent)}/{path.name}"


def _opened(folder: Path) -> int:
    known = _folders.get(folder)
    if known is not None and os.path.samestat(os.fstat(known), folder.stat()):
        return known
    _folders[folder] = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return _folders[folder]
