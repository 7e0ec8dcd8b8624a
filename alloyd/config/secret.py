"""Text that must not be shown: it prints as ``***`` wherever it is not asked for by name."""

from __future__ import annotations

import hmac
from typing import Final

MASK: Final = "***"


class Secret:
    """A secret text. ``repr``, ``str`` and formatting give ``***``; only :meth:`reveal` gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; call it where the secret is used, and keep no copy."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __format__(self, _spec: str) -> str:
        return MASK

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled or copied")

    def __eq__(self, other: object) -> bool:
        """Compared in constant time, with another secret or with plain text."""
        if isinstance(other, Secret):
            return hmac.compare_digest(self._text.encode(), other._text.encode())
        if isinstance(other, str):
            return hmac.compare_digest(self._text.encode(), other.encode())
        return NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._text))
