"""Identifiers: time-ordered UUIDs and random tokens."""

from __future__ import annotations

import re
import secrets

import uuid_utils

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")


def new_id() -> str:
    """A UUID of version 7: sorts by the time it was made."""
    return str(uuid_utils.uuid7())


def is_uuid(text: str) -> bool:
    """Whether ``text`` is a UUID in canonical lower-case form."""
    return _UUID.match(text) is not None


def random_token(chars: int) -> str:
    """``chars`` URL-safe characters from the system's random source, 6 bits each."""
    return secrets.token_urlsafe(chars)[:chars]
