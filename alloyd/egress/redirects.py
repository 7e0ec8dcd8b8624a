"""Following a redirect: the next hop by the Fetch standard's rules, less what must not cross an origin; pure."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace

from yarl import URL

from alloyd.egress.errors import EgressError, EgressKind
from alloyd.egress.hosts import Target, is_unsafe, parse_target

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_STATUSES = frozenset({301, 302, 303, 307, 308})
_BODY_HEADERS = frozenset({"content-encoding", "content-language", "content-location", "content-type"})
# A header whose name has one of these parts is taken for a credential: dropping one too many does less harm.
_CREDENTIAL_PARTS = (
    "auth",
    "apikey",
    "api-key",
    "cookie",
    "credential",
    "csrf",
    "jwt",
    "key",
    "passw",
    "secret",
    "session",
    "signature",
    "token",
)


@dataclass(frozen=True, slots=True)
class Hop:
    """One request on the way to the answer."""

    method: str
    target: Target
    headers: tuple[tuple[str, str], ...]
    body: bytes | AsyncIterator[bytes] | None


def is_credential(name: str, marked: Iterable[str] = ()) -> bool:
    """Whether the header ``name`` stays with its origin: by its name, or because the caller ``marked`` it."""
    lower = name.lower().replace("_", "-")
    return any(part in lower for part in _CREDENTIAL_PARTS) or name.lower() in {m.lower() for m in marked}


def next_hop(hop: Hop, status: int, locations: Sequence[str], marked: Iterable[str]) -> Hop | None:
    """The hop that a response asks for, or None when it is the answer.

    ``locations`` are all its ``Location`` values; ``marked`` the caller's credential headers. Raises EgressError
    ``redirect`` for a target that can't be read, a body that can't be sent again, and a body that would go from
    https to http. Whether the target's address may be reached is for the connection to say.
    """
    if status not in _STATUSES or not locations:
        return None
    if len(set(locations)) > 1:
        raise _fault(hop, "redirects to several places at once")
    target = _resolve(hop, locations[0])
    headers, method, body = hop.headers, hop.method, hop.body
    if (status in (301, 302) and method == "POST") or (status == 303 and method not in ("GET", "HEAD")):
        method, body = "GET", None
        headers = tuple(pair for pair in headers if pair[0].lower() not in _BODY_HEADERS)
    if body is not None:
        if not isinstance(body, bytes):
            raise _fault(hop, "redirects a streamed body, which can't be sent again")
        if hop.target.url.scheme == "https" and target.url.scheme == "http":
            raise _fault(hop, "redirects the request's body from https to http")
    if target.origin != hop.target.origin:
        headers = tuple(pair for pair in headers if not is_credential(pair[0], marked))
    return replace(hop, method=method, target=target, headers=headers, body=body)


def _resolve(hop: Hop, location: str) -> Target:
    # Servers do send bare spaces; everything else that is odd is refused, not repaired.
    text = location.strip(" ").replace(" ", "%20")
    if _SCHEME.match(text):
        return parse_target(text, EgressKind.REDIRECT)
    if text.startswith("//"):
        return parse_target(f"{hop.target.url.scheme}:{text}", EgressKind.REDIRECT)
    if is_unsafe(text):
        raise _fault(hop, "redirects to a malformed URL")
    try:
        joined = hop.target.url.join(URL(text))
    except ValueError:
        raise _fault(hop, "redirects to a malformed URL") from None
    return parse_target(str(joined), EgressKind.REDIRECT)


def _fault(hop: Hop, what: str) -> EgressError:
    return EgressError(EgressKind.REDIRECT, f"{hop.target.where} {what}")
