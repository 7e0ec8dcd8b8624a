"""What a user is, and what an e-mail and a password must be."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from alloyd.errors import bad_request
from alloyd.principal import Role, Standing

EMAIL_CHARS_MAX = 254
PASSWORD_BYTES_MAX = 1024  # hashing time grows with it
DISPLAY_NAME_CHARS_MAX = 200
MEMBERSHIPS_PER_USER_MAX = 1000  # every one is in memory while the user is at work

_LOCAL = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL = re.compile(rf"(?=[^@]{{1,64}}@){_LOCAL}@{_LABEL}(?:\.{_LABEL})*\Z")


@dataclass(frozen=True, slots=True)
class User:
    """One user without the password; times are milliseconds since the epoch."""

    id: str
    email: str
    display_name: str
    platform_admin: bool
    created_at: int
    updated_at: int
    disabled_at: int | None


@dataclass(frozen=True, slots=True)
class Membership:
    """A user's standing in one organization."""

    org_id: str
    user_id: str
    role: Role


@dataclass(frozen=True, slots=True)
class Account:
    """A user with all that decides what the user may do.

    ``epoch`` tells which tokens still count; ``standings`` are of organizations that are not archived, the oldest
    membership first.
    """

    user: User
    epoch: int
    standings: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """One line of an organization's list of members; ``joined_at`` in milliseconds since the epoch."""

    user_id: str
    email: str
    display_name: str
    role: Role
    joined_at: int
    disabled: bool


def normalize_email(email: str) -> str:
    """``email`` in lower case: one mailbox has one user. Raises ``bad_request`` for what is no address.

    Only ASCII is taken, so that two look-alike letters can't make two users of one mailbox.
    """
    folded = email.strip().lower()
    if not email.isascii() or len(email) > EMAIL_CHARS_MAX or not _EMAIL.match(folded):
        raise bad_request("email: not an e-mail address", "email")
    return folded


def check_password(password: str, bytes_min: int, field: str = "password") -> None:
    """Raise ``bad_request`` unless ``password`` has ``bytes_min`` to 1024 bytes in UTF-8. It is never in a message."""
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        raise bad_request(f"{field}: not valid text", field) from None
    if size < bytes_min:
        raise bad_request(f"{field}: at least {bytes_min} bytes", field)
    if size > PASSWORD_BYTES_MAX:
        raise bad_request(f"{field}: at most {PASSWORD_BYTES_MAX} bytes", field)
    if any(unicodedata.category(char) == "Cc" for char in password):
        raise bad_request(f"{field}: must not hold control characters", field)
