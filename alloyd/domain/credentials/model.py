"""What a credential is, what it may hold, and how it is shown to the application it is for; pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import UNSET, UnsetType

from alloyd.domain.connectors.model import PLACEHOLDER, Auth
from alloyd.errors import AlloydError, Code, bad_request
from alloyd.kit.text import fault_of_line

LABEL_CHARS_MAX: Final = 100
VALUE_CHARS_MAX: Final = 16_384
END_USER_ID_CHARS_MAX: Final = 100
REDACTED_CHARS_MIN: Final = 6  # shorter ones would take words out of an answer

OK, FAILED, EXPIRED = "ok", "failed", "expired"

# What each kind holds: wanted, and allowed besides.
_FIELDS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "api_key": (("api_key",), ()),
    "bearer": (("token",), ()),
    "basic": (("username", "password"), ()),
    "oauth2": (("access_token",), ("refresh_token", "client_id", "client_secret", "scope")),
}
_NO_SECRETS: Final = frozenset({"username", "client_id", "scope"})
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class CredentialSettings:
    """Bounds."""

    per_org_max: int = 10_000
    state_ttl_ms: int = 10 * 60 * 1000
    states_per_org_max: int = 1000
    refresh_skew_ms: int = 60 * 1000  # how long before its end a token is replaced
    refresh_pause_ms: int = 30 * 1000  # after a failure nobody asks again for so long
    token_timeout_s: float = 20.0
    used_every_ms: int = 60 * 1000  # how exact last_used_at is


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential as it is stored; ``data`` is sealed. Times are ms since the epoch."""

    id: str
    org_id: str
    end_user_id: str | None
    connector: str
    kind: str
    label: str
    settings: dict[str, str]
    data: str
    key_id: str
    version: int
    status: str
    fault: str | None
    expires_at: int | None
    refreshable: bool
    last_used_at: int | None
    created_by: str
    created_at: int
    updated_at: int

    def __repr__(self) -> str:
        return f"Credential({self.id})"

    def status_at(self, now_ms: int) -> str:
        """``ok``, ``failed``, or ``expired`` for a token whose time is over and that nothing replaces."""
        over = self.expires_at is not None and self.expires_at <= now_ms and not self.refreshable
        return EXPIRED if self.status == OK and over else self.status


@dataclass(frozen=True, slots=True)
class CreateCredential:
    """What a new credential is to be."""

    connector: str
    kind: str
    data: Mapping[str, str] = field(repr=False)
    label: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    end_user_id: str | None = None
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class ChangeCredential:
    """What is to be different; UNSET stays as it is."""

    label: str | UnsetType = UNSET
    data: Mapping[str, str] | UnsetType = field(default=UNSET, repr=False)
    settings: Mapping[str, str] | UnsetType = UNSET
    expires_at: int | UnsetType | None = UNSET


@dataclass(frozen=True, slots=True)
class CredentialFilter:
    """Which are wanted; None wants all."""

    connector: str | None = None
    end_user_id: str | None = None


@dataclass(frozen=True, slots=True)
class StartOauth:
    """An account that is to be connected. Without ``client_id`` the organization's client for the connector is used."""

    connector: str
    redirect_uri: str
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    label: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    scopes: tuple[str, ...] | None = None
    end_user_id: str | None = None


@dataclass(frozen=True, slots=True)
class OauthClient:
    """An organization's client at one application, without its secret. ``updated_at`` in ms since the epoch."""

    org_id: str
    connector: str
    client_id: str
    has_secret: bool
    updated_at: int


@dataclass(frozen=True, slots=True)
class Presented:
    """A credential ready for use: ``headers`` prove who one is, ``secrets`` must stand in no answer."""

    credential: Credential
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


class RefreshError(AlloydError):
    """A new access token could not be had. ``retryable``: it may be another time."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(Code.UPSTREAM_FAILED, message)
        self.retryable = retryable


def seal_about(org_id: str, credential_id: str) -> str:
    """What a credential's sealed text is bound to."""
    return f"{org_id}/credentials/{credential_id}"


def check_label(label: str) -> str:
    """``label`` itself. Raises ``bad_request``."""
    fault = fault_of_line(label, LABEL_CHARS_MAX)
    if fault is not None:
        raise bad_request(f"label: {fault}", "label")
    return label


def check_end_user_id(end_user_id: str | None) -> str | None:
    """``end_user_id`` itself. Raises ``bad_request``."""
    fault = None if end_user_id is None else fault_of_line(end_user_id, END_USER_ID_CHARS_MAX)
    if fault is not None:
        raise bad_request(f"end_user_id: {fault}", "end_user_id")
    return end_user_id


def check_data(kind: str, data: Mapping[str, str]) -> dict[str, str]:
    """What a credential of ``kind`` holds. Raises ``bad_request`` naming the field, never its content."""
    wanted, allowed = _FIELDS[kind]
    for name in data:
        if name not in wanted and name not in allowed:
            told = ", ".join((*wanted, *allowed))
            raise bad_request(f"data: {kind} has {told}", "data")
    for name in wanted:
        if not data.get(name) and not (name == "password" and name in data):
            raise bad_request(f"data.{name}: is required", f"data.{name}")
    for name, value in data.items():
        if len(value) > VALUE_CHARS_MAX:
            raise bad_request(f"data.{name}: at most {VALUE_CHARS_MAX} characters", f"data.{name}")
        if _UNSAFE.search(value):
            raise bad_request(f"data.{name}: must not hold control characters", f"data.{name}")
    if kind == "basic" and ":" in data["username"]:
        raise bad_request("data.username: must not hold a colon", "data.username")
    return dict(data)


def present(auth: Auth, credential: Credential, data: Mapping[str, Any]) -> Presented:
    """The headers that carry ``data``, and every text that must not come back."""
    secrets = [str(value) for name, value in data.items() if name not in _NO_SECRETS]
    if auth.kind == "api_key":
        header = PLACEHOLDER.sub(lambda match: credential.settings[match[1]], auth.header or "")
        headers = ((header, f"{auth.prefix}{data['api_key']}"),)
    elif auth.kind == "basic":
        packed = base64.b64encode(f"{data['username']}:{data['password']}".encode()).decode()
        secrets.append(packed)
        headers = (("Authorization", f"Basic {packed}"),)
    else:
        token = data["token"] if auth.kind == "bearer" else data["access_token"]
        headers = (("Authorization", f"{auth.scheme} {token}"),)
    kept = tuple(sorted({text for text in secrets if len(text) >= REDACTED_CHARS_MIN}, key=len, reverse=True))
    return Presented(credential, headers, kept)
