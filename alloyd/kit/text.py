"""What one line of text that people type must be: names, descriptions."""

from __future__ import annotations

import re
from typing import Final

# Control characters, separators of lines, what turns the direction of writing around, and what is no character.
_REFUSED: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff"
# For descriptions of the API: what :func:`fault_of_line` takes, except for its length.
_LINE: Final = rf"[^\s{_REFUSED}](?:[^{_REFUSED}]*[^\s{_REFUSED}])?"
LINE_PATTERN: Final = f"^{_LINE}$"
OPTIONAL_LINE_PATTERN: Final = f"^(?:{_LINE})?$"

_REFUSED_CHARACTER: Final = re.compile(rf"[{_REFUSED}\ud800-\udfff]")


def fault_of_line(text: str, chars_max: int) -> str | None:
    """Why ``text`` is no line of 1 to ``chars_max`` characters, in words for the caller; None when it is one."""
    if not text.strip():
        return "must not be empty"
    if len(text) > chars_max:
        return f"at most {chars_max} characters"
    if text != text.strip():
        return "must not begin or end with a space"
    if _REFUSED_CHARACTER.search(text):
        return "must not hold control characters"
    return None
