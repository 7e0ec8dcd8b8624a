"""What one line of text that people type must be: names, descriptions."""

from __future__ import annotations

import unicodedata

# Besides control characters: line separators, and what turns the direction of writing around.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp", "Cn"})
_REFUSED_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def fault_of_line(text: str, chars_max: int) -> str | None:
    """Why ``text`` is no line of 1 to ``chars_max`` characters, in words for the caller; None when it is one."""
    if not text.strip():
        return "must not be empty"
    if len(text) > chars_max:
        return f"at most {chars_max} characters"
    if text != text.strip():
        return "must not begin or end with a space"
    if any(unicodedata.category(char) in _REFUSED_CATEGORIES or char in _REFUSED_MARKS for char in text):
        return "must not hold control characters"
    return None
