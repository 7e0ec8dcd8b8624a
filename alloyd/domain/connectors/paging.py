"""How a list goes on: what the next page is asked by, read from an answer; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from alloyd.domain.connectors.model import Action, value_at

_LINK: Final = re.compile(r"<([^<>]{1,4096})>((?:\s*;\s*[a-zA-Z*]+\s*=\s*(?:\"[^\"]*\"|[^\s;,\"]+))*)")
_PARAMETER: Final = re.compile(r";\s*([a-zA-Z*]+)\s*=\s*(?:\"([^\"]*)\"|([^\s;,\"]+))")


def next_link(headers: list[str]) -> str | None:
    """The URL with ``rel="next"`` of `Link` headers."""
    for header in headers:
        for match in _LINK.finditer(header):
            for name, quoted, plain in _PARAMETER.findall(match[2]):
                if name.lower() == "rel" and "next" in (quoted or plain).lower().split():
                    return match[1]
    return None


def items_of(action: Action, data: Any) -> list[Any] | None:
    """The list in an answer, None where there is none."""
    found = value_at(data, action.paging.items)
    return found if isinstance(found, list) else None


def next_of(action: Action, params: Mapping[str, Any], cursor: str | None, data: Any, links: list[str]) -> str | None:
    """What the next page is asked by, None behind the last one.

    ``params`` are those of the request, with the size of its page; ``cursor`` what this page was asked by.
    """
    paging = action.paging
    if paging.kind == "none":
        return None
    if paging.kind == "link":
        found = next_link(links) if paging.next is None else value_at(data, paging.next)
        return found if isinstance(found, str) and found else None
    items = items_of(action, data) or []
    if paging.kind == "cursor":
        if paging.more is not None and value_at(data, paging.more) is not True:
            return None
        found = value_at(data, paging.next or "")
        if found in (None, "", cursor) or isinstance(found, (dict, list, bool)) or (paging.items and not items):
            return None
        size = params.get(paging.limit or "")
        if paging.more is None and _is_of_items(paging.next) and isinstance(size, int) and len(items) < size:
            return None
        return str(found)
    size = params.get(paging.limit or "")
    if not items or (isinstance(size, int) and len(items) < size):
        return None
    here = int(cursor) if cursor else paging.first
    return str(here + (1 if paging.kind == "page" else len(items)))


def _is_of_items(path: str | None) -> bool:
    return path is not None and path.startswith("-1.")


def with_cursor(action: Action, cursor: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """(members of the query, members of the body) that ask for the page behind ``cursor``."""
    paging = action.paging
    if cursor is None or paging.param is None:
        return {}, {}
    asked: dict[str, Any] = {paging.param: cursor}
    return ({}, asked) if paging.in_ == "body" else (asked, {})
