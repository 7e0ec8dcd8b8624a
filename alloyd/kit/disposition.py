"""The Content-Disposition of a file that is sent."""

from __future__ import annotations

from urllib.parse import quote


def content_disposition(name: str, kind: str = "attachment") -> str:
    """``kind`` with the name as RFC 6266 has it: plain for old clients, whole for the others."""
    plain = "".join(char if " " <= char <= "~" and char not in '"\\%' else "_" for char in name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
