"""Seals secrets that have to be read again: AES-256-GCM, bound to what they are about."""

from __future__ import annotations

import base64
import binascii
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_FORM: Final = "s1:"  # says how the rest was made, so that another way can come beside it


class UnsealError(Exception):
    """A sealed text was changed, belongs to something else, or was sealed with another key."""


def derive_key(master: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one ``purpose``: who learns it learns nothing of ``master`` or of other purposes' keys."""
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=f"alloyd {purpose}".encode()).derive(
        master
    )


class Sealer:
    """Seals with one key of 32 bytes.

    ``about`` names what a secret belongs to (organization, table, id): a sealed text that is copied to another place
    can't be opened there.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, data: bytes, about: str) -> str:
        """``data`` as text that only :meth:`unseal` with the same ``about`` reads; never the same text twice."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, data, about.encode())
        return _FORM + base64.urlsafe_b64encode(sealed).decode()

    def unseal(self, sealed: str, about: str) -> bytes:
        """What was sealed. Raises :class:`UnsealError`, which says nothing of the content."""
        try:
            if not sealed.startswith(_FORM):
                raise ValueError("not sealed")
            raw = base64.b64decode(sealed[len(_FORM) :], altchars=b"-_", validate=True)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], about.encode())
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise UnsealError("a sealed secret can't be opened with this installation's key") from error
