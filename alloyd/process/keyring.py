"""The installation's master key, a file beside the database, the keys derived from it, and newer keys that seal."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from alloyd.errors import AlloydError, Code, conflict
from alloyd.kit import crash
from alloyd.kit.crypto import KEY_BYTES, derive_key
from alloyd.process.datadir import fsync_dir

MASTER_FILE: Final = "master.key"
_FILE_BYTES_MAX: Final = 1024
_SEALING: Final = re.compile(r"sealing-([0-9]{1,9})\.key\Z")


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
        return fingerprint_of(self._master)

    def secret(self, purpose: str) -> bytes:
        """32 bytes for ``purpose``, the same at every start."""
        return derive_key(self._master, purpose)

    def __repr__(self) -> str:
        return "Keyring(...)"


class SealingKeys:
    """The keys that seal, after the first one, which is derived from the master key: one file each.

    Make it with :meth:`open`. ``later`` are those in use, by their ids.
    """

    def __init__(self, folder: Path, first: bytes, later: Mapping[str, bytes]) -> None:
        self._folder = folder
        self.first = first
        self.later = dict(later)

    @classmethod
    def open(cls, folder: Path, first: bytes, known: Mapping[str, str]) -> SealingKeys:
        """Read the keys that the database was used with: ``known`` has their fingerprints by their ids.

        Files of keys that are not in use any more are deleted. Raises ``conflict`` when one is missing or another one.
        """
        later: dict[str, bytes] = {}
        for key_id, fingerprint in known.items():
            name = _sealing_name(key_id)
            key = _read(folder / name)
            if key is None:
                raise conflict(
                    f"keys/{name} is missing from the data directory, and the database holds secrets sealed with it:"
                    " put it back from a backup"
                )
            if fingerprint_of(key) != fingerprint:
                raise conflict(f"keys/{name} is not the key that this database was used with: put the right one back")
            later[key_id] = key
        for path in folder.iterdir():
            found = _SEALING.match(path.name.removesuffix(".new"))
            if found is not None and (path.name.endswith(".new") or found[1] not in later):
                path.unlink()  # what a crash left, or what a change of the key has ended
        return cls(folder, first, later)

    def make(self) -> tuple[str, bytes]:
        """A new key in a file of its own, durable: ``(id, key)``. It seals nothing before the database knows of it."""
        key_id = str(max([1, *(int(found) for found in self.later)]) + 1)
        key = secrets.token_bytes(KEY_BYTES)
        _write(self._folder / _sealing_name(key_id), key)
        self.later[key_id] = key
        return key_id, key

    def fingerprints(self) -> dict[str, str]:
        """What may be stored to recognise the keys."""
        return {key_id: fingerprint_of(key) for key_id, key in self.later.items()}

    def keep_only(self, key_id: str) -> None:
        """The others are not in use any more; their files stay until the next start, for a backup under way."""
        self.later = {key_id: self.later[key_id]}

    def __repr__(self) -> str:
        return "SealingKeys(...)"


def fingerprint_of(key: bytes) -> str:
    """What may be stored to recognise a key; it tells nothing of it."""
    return hashlib.sha256(derive_key(key, "fingerprint")).hexdigest()


def _sealing_name(key_id: str) -> str:
    return f"sealing-{key_id}.key"


def _read(path: Path) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, "can't be read", error) from error
    with os.fdopen(fd, "rb") as file:
        text = file.read(_FILE_BYTES_MAX).strip()
    try:
        master = base64.b64decode(text, altchars=b"-_", validate=True)
    except binascii.Error:
        master = b""
    if len(master) != KEY_BYTES:
        raise conflict(f"keys/{path.name} is damaged: put it back from a backup")
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
        raise _unusable(path, "can't be written", error) from error


def _fresh(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _unusable(path: Path, what: str, error: OSError) -> AlloydError:
    reason = (error.strerror or type(error).__name__).lower()
    return AlloydError(Code.UNAVAILABLE, f"keys/{path.name} {what}: {reason}", log=repr(error))
