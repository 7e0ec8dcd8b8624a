"""The installation's master key: one file beside the database, and the keys that are derived from it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from pathlib import Path
from typing import Final

from alloyd.errors import AlloydError, Code, conflict
from alloyd.kit import crash
from alloyd.kit.crypto import KEY_BYTES, derive_key
from alloyd.process.datadir import fsync_dir

MASTER_FILE: Final = "master.key"
_FILE_BYTES_MAX: Final = 1024


class Keyring:
    """Keys by purpose. Make it with :meth:`open`; nothing of it is ever logged."""

    def __init__(self, master: bytes) -> None:
        self._master = master

    @classmethod
    def open(cls, folder: Path, known_fingerprint: str | None) -> Keyring:
        """Read the master key in ``folder``, or make one where none was ever used.

        ``known_fingerprint`` is what the database remembers of the key it was used with. Raises ``conflict`` when the
        key is missing or another one: what is sealed could not be read, and a new key would hide that.
        """
        path = folder / MASTER_FILE
        _fresh(path).unlink(missing_ok=True)  # what a crash left
        master = _read(path)
        if master is None:
            if known_fingerprint is not None:
                raise conflict(
                    f"keys/{MASTER_FILE} is missing from the data directory, and the database holds secrets sealed with"
                    " it: put it back from a backup"
                )
            master = secrets.token_bytes(KEY_BYTES)
            _write(path, master)
        keyring = cls(master)
        if known_fingerprint is not None and keyring.fingerprint != known_fingerprint:
            raise conflict(
                f"keys/{MASTER_FILE} is not the key that this database was used with: put the right one back from a"
                " backup"
            )
        return keyring

    @property
    def fingerprint(self) -> str:
        """What may be stored to recognise the key; it tells nothing of it."""
        return hashlib.sha256(derive_key(self._master, "fingerprint")).hexdigest()

    def secret(self, purpose: str) -> bytes:
        """32 bytes for ``purpose``, the same at every start."""
        return derive_key(self._master, purpose)

    def __repr__(self) -> str:
        return "Keyring(...)"


def _read(path: Path) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable("can't be read", error) from error
    with os.fdopen(fd, "rb") as file:
        text = file.read(_FILE_BYTES_MAX).strip()
    try:
        master = base64.b64decode(text, altchars=b"-_", validate=True)
    except binascii.Error:
        master = b""
    if len(master) != KEY_BYTES:
        raise conflict(f"keys/{MASTER_FILE} is damaged: put it back from a backup")
    return master


def _write(path: Path, master: bytes) -> None:
    """Under another name first: a crash leaves a whole key or none."""
    fresh = _fresh(path)
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(base64.urlsafe_b64encode(master) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        crash.reach("keyring.before_rename")
        fresh.rename(path)
        fsync_dir(path.parent)
        crash.reach("keyring.after_rename")
    except OSError as error:
        raise _unusable("can't be written", error) from error


def _fresh(path: Path) -> Path:
    return path.with_name(f"{MASTER_FILE}.new")


def _unusable(what: str, error: OSError) -> AlloydError:
    reason = (error.strerror or type(error).__name__).lower()
    return AlloydError(Code.UNAVAILABLE, f"keys/{MASTER_FILE} {what}: {reason}", log=repr(error))
