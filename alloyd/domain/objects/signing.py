"""Signs and checks alloyd's own download URLs: one verifier for all of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final
from urllib.parse import quote, urlencode

from alloyd.domain.objects.model import SIGNED_PREFIX, Disposition

METHOD: Final = "GET"  # covers HEAD
DISPOSITIONS: Final = ("attachment", "inline")

_EXPIRES: Final = re.compile(r"[1-9][0-9]{0,11}\Z")


class UrlSigner:
    """HMAC-SHA256 with ``secret``, 32 bytes that serve nothing else."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, key: str, disposition: Disposition, expires_s: int) -> str:
        """The path of a URL for ``key`` that is good until ``expires_s``, seconds since the epoch."""
        signature = self._signature(key, disposition, str(expires_s))
        query = urlencode({"expires": expires_s, "disposition": disposition, "signature": signature})
        return f"{SIGNED_PREFIX}/{quote(key, safe='/')}?{query}"

    def allows(self, key: str, expires: str, disposition: str, signature: str, now_ms: int) -> bool:
        """Whether these were signed together and the time is not over."""
        right = self._signature(key, disposition, expires)
        if not hmac.compare_digest(right.encode(), signature.encode(errors="replace")):
            return False
        return _EXPIRES.match(expires) is not None and now_ms < int(expires) * 1000

    def _signature(self, key: str, disposition: str, expires: str) -> str:
        # A key has no line break, and stands last: no two sets of values give the same text.
        text = f"{METHOD}\n{expires}\n{disposition}\n{key}"
        mac = hmac.new(self._secret, text.encode(errors="replace"), hashlib.sha256)
        return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()
