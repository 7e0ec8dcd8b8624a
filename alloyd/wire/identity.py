"""How organizations, users and keys look in JSON, on every surface that shows them."""

from __future__ import annotations

from typing import Any

import msgspec

from alloyd.domain.keys.model import ApiKey, IssuedKey
from alloyd.domain.orgs.model import Organization
from alloyd.domain.sessions.model import IssuedToken
from alloyd.domain.users.model import User
from alloyd.kit.clock import rfc3339


class OrganizationJson(msgspec.Struct, frozen=True, kw_only=True):
    """An organization."""

    id: str
    slug: str
    name: str
    created_at: str
    updated_at: str
    archived_at: str | None


class UserJson(msgspec.Struct, frozen=True, kw_only=True):
    """A user; never the password or its hash."""

    id: str
    email: str
    display_name: str
    platform_admin: bool
    created_at: str
    updated_at: str
    disabled_at: str | None


class ApiKeyJson(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret; `prefix` is the part of the raw key that may be shown."""

    id: str
    organization_id: str
    team_id: str | None
    teammate_id: str | None
    name: str
    description: str | None
    prefix: str
    scopes: tuple[str, ...]
    role: str
    status: str
    created_by: str
    created_at: str
    expires_at: str | None
    disabled_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class IssuedKeyJson(ApiKeyJson, frozen=True, kw_only=True):
    """A key just made. `key` is the raw key, told this once: a repeat of the request answers null in its place."""

    key: str | None


class TokenJson(msgspec.Struct, frozen=True, kw_only=True):
    """A token for `Authorization: Bearer`; `expires_in` in seconds."""

    access_token: str
    token_type: str
    expires_in: int


def organization_json(org: Organization) -> OrganizationJson:
    """``org`` on the wire."""
    return OrganizationJson(
        id=org.id,
        slug=org.slug,
        name=org.name,
        created_at=rfc3339(org.created_at),
        updated_at=rfc3339(org.updated_at),
        archived_at=_time(org.archived_at),
    )


def user_json(user: User) -> UserJson:
    """``user`` on the wire."""
    return UserJson(
        id=user.id,
        email=user.email,
        display_name=user.display_name,
        platform_admin=user.platform_admin,
        created_at=rfc3339(user.created_at),
        updated_at=rfc3339(user.updated_at),
        disabled_at=_time(user.disabled_at),
    )


def api_key_json(key: ApiKey, now_ms: int) -> ApiKeyJson:
    """``key`` on the wire, with its state at ``now_ms``."""
    return ApiKeyJson(**_key_members(key, now_ms))


def issued_key_json(issued: IssuedKey, now_ms: int) -> IssuedKeyJson:
    """A key just made on the wire, with its raw text."""
    return IssuedKeyJson(**_key_members(issued.key, now_ms), key=issued.raw)


def token_json(issued: IssuedToken) -> TokenJson:
    """A token on the wire."""
    return TokenJson(access_token=issued.token, token_type="bearer", expires_in=issued.expires_in_s)  # noqa: S106


def _key_members(key: ApiKey, now_ms: int) -> dict[str, Any]:
    return {
        "id": key.id,
        "organization_id": key.org_id,
        "team_id": key.team_id,
        "teammate_id": key.teammate_id,
        "name": key.name,
        "description": key.description,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "role": key.role.value,
        "status": key.state(now_ms).value,
        "created_by": key.created_by,
        "created_at": rfc3339(key.created_at),
        "expires_at": _time(key.expires_at),
        "disabled_at": _time(key.disabled_at),
        "revoked_at": _time(key.revoked_at),
        "last_used_at": _time(key.last_used_at),
    }


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)
