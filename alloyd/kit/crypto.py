"""Seals secrets that have to be read again: AES-256-GCM, bound to what they are about."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
FIRST_KEY: Final = "1"
_NONCE_BYTES: Final = 12
# How the rest was made, so that another way can come beside it: with the first key, or with the one that is named.
_FORM: Final = "s1:"
_NAMED: Final = re.compile(r"s2:([0-9]{1,9}):")


class UnsealError(Exception):
    """A sealed text was changed, belongs to something else, or was sealed with another key."""


def derive_key(master: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one ``purpose``: who learns it learns nothing of ``master`` or of other purposes' keys."""
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=f"alloyd {purpose}".encode()).derive(
        master
    )


class Sealer:
    """Seals with the newest of its keys of 32 bytes, opens with each of them. ``later`` are those after the first one.

    ``about`` names what a secret belongs to (organization, table, id): a sealed text that is copied to another place
    can't be opened there. What is sealed has to be given to the database without a pause in between: a change of the
    key waits for the writes that were begun before it.
    """

    def __init__(self, key: bytes, later: Mapping[str, bytes] | None = None) -> None:
        self._ciphers = {FIRST_KEY: AESGCM(key)}
        self.key_id = FIRST_KEY
        for key_id in sorted(later or {}, key=int):
            self.use_key(key_id, (later or {})[key_id])

    def use_key(self, key_id: str, key: bytes) -> None:
        """Seal with another key from now on; what is sealed already stays readable."""
        self._ciphers[key_id] = AESGCM(key)
        self.key_id = key_id

    def seal(self, data: bytes, about: str) -> str:
        """``data`` as text that only :meth:`unseal` with the same ``about`` reads; never the same text twice."""
        nonce = os.urandom(_NONCE_BYTES)
        form = _FORM if self.key_id == FIRST_KEY else f"s2:{self.key_id}:"
        sealed = nonce + self._ciphers[self.key_id].encrypt(nonce, data, _bound(form, about))
        return form + base64.urlsafe_b64encode(sealed).decode()

    def unseal(self, sealed: str, about: str) -> bytes:
        """What was sealed. Raises :class:`UnsealError`, which says nothing of the content."""
        try:
            form, key_id = _form_of(sealed)
            raw = base64.b64decode(sealed[len(form) :], altchars=b"-_", validate=True)
            return self._ciphers[key_id].decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound(form, about))
        except (InvalidTag, ValueError, binascii.Error, KeyError) as error:
            raise UnsealError("a sealed secret can't be opened with this installation's key") from error

    def reseal(self, sealed: str, about: str) -> str | None:
        """The same content under the newest key; None when it is sealed with that one. Raises :class:`UnsealError`."""
        if self.is_current(sealed):
            return None
        return self.seal(self.unseal(sealed, about), about)

    def is_current(self, sealed: str) -> bool:
        """Whether a text is sealed with the newest key."""
        try:
            return _form_of(sealed)[1] == self.key_id
        except ValueError:
            return False


def _form_of(sealed: str) -> tuple[str, str]:
    if sealed.startswith(_FORM):
        return _FORM, FIRST_KEY
    named = _NAMED.match(sealed)
    if named is None:
        raise ValueError("not sealed")
    return named[0], named[1]


def _bound(form: str, about: str) -> bytes:
    return (about if form == _FORM else f"{form}{about}").encode()
