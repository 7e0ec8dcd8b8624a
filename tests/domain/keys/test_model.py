from __future__ import annotations

import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloyd.domain.keys.model import (
    ID_SLICE,
    LIFETIME_MS_MAX,
    RAW_CHARS,
    ApiKey,
    KeyState,
    check_expiry,
    check_role,
    check_scopes,
    hash_raw_key,
    new_raw_key,
    parse_raw_key,
)
from alloyd.errors import AlloydError, Code
from alloyd.principal import FINE_SCOPES, SCOPES, Kind, Principal, Role

URL_SAFE = string.ascii_letters + string.digits + "-_"


def _principal(*scopes: str, role: Role = Role.OWNER, kind: Kind = Kind.KEY) -> Principal:
    return Principal(kind, "k", "org", role, frozenset(scopes))


@given(st.text(URL_SAFE, min_size=8, max_size=8), st.text(URL_SAFE, min_size=43, max_size=43))
def test_well_formed_key_gives_its_id(key_id: str, secret: str) -> None:
    raw = f"alloy_{key_id}_{secret}"
    assert parse_raw_key(raw) == key_id == raw[ID_SLICE]
    assert len(raw) == RAW_CHARS


@given(st.text())
def test_any_other_text_gives_none(text: str) -> None:
    assert parse_raw_key(text) is None


@given(st.integers(0, RAW_CHARS), st.characters())
def test_what_is_put_in_or_taken_out_breaks_it(at: int, char: str) -> None:
    raw = new_raw_key()
    assert parse_raw_key(raw[:at] + char + raw[at:]) is None
    assert parse_raw_key(raw[:at]) is None or at == RAW_CHARS


@pytest.mark.parametrize(
    "change", [str.upper, lambda raw: raw + "\n", lambda raw: " " + raw, lambda raw: raw[:-1] + "="]
)
def test_near_misses(change: object) -> None:
    assert parse_raw_key(change(new_raw_key())) is None  # type: ignore[operator]


def test_new_keys_parse_and_differ() -> None:
    made = {new_raw_key() for _ in range(1000)}
    assert len({parse_raw_key(raw) for raw in made} - {None}) == 1000


def test_hash_is_sha256_of_the_whole() -> None:
    raw = new_raw_key()
    assert hash_raw_key(raw) == hashlib.sha256(raw.encode()).digest()


@pytest.mark.parametrize(
    ("times", "state"),
    [
        ({}, KeyState.ACTIVE),
        ({"expires_at": 101}, KeyState.ACTIVE),
        ({"expires_at": 100}, KeyState.EXPIRED),
        ({"disabled_at": 1}, KeyState.DISABLED),
        ({"disabled_at": 1, "expires_at": 5}, KeyState.DISABLED),
        ({"revoked_at": 1, "disabled_at": 1, "expires_at": 5}, KeyState.REVOKED),
    ],
)
def test_state(times: dict[str, int], state: KeyState) -> None:
    whole = {"expires_at": None, "disabled_at": None, "revoked_at": None, "last_used_at": None} | times
    key = ApiKey("i", "o", "n", None, "abcdefgh", ("control",), Role.MEMBER, "me", 0, **whole)  # type: ignore[arg-type]
    assert key.state(100) is state


@pytest.mark.parametrize(
    ("creator", "asked", "given_scopes"),
    [
        (_principal("control"), None, ("control",)),
        (_principal("runs:read", "control"), None, ("control", "runs:read")),
        (_principal("control"), ("runs:read", "control", "runs:read"), ("control", "runs:read")),
        (_principal("private", "control"), ("private",), ("private",)),
        (_principal("keys:write"), ("keys:write",), ("keys:write",)),
        (_principal(*SCOPES, kind=Kind.OPERATOR), None, ("control", "private")),
        (_principal("control"), tuple(FINE_SCOPES), tuple(sorted(FINE_SCOPES))),
    ],
)
def test_scopes(creator: Principal, asked: tuple[str, ...] | None, given_scopes: tuple[str, ...]) -> None:
    assert check_scopes(creator, asked) == given_scopes


@pytest.mark.parametrize(
    ("creator", "asked", "code", "field"),
    [
        (_principal("control"), (), Code.BAD_REQUEST, "scopes"),
        (_principal("control"), ("control", "root"), Code.BAD_REQUEST, "scopes[1]"),
        (_principal("control"), ("private",), Code.FORBIDDEN, "scopes"),
        (_principal("keys:write"), ("control",), Code.FORBIDDEN, "scopes"),
        (_principal("keys:write"), ("keys:read",), Code.FORBIDDEN, "scopes"),
        (_principal("private"), ("storage:read",), Code.FORBIDDEN, "scopes"),
    ],
)
def test_refused_scopes(creator: Principal, asked: tuple[str, ...], code: Code, field: str) -> None:
    with pytest.raises(AlloydError) as caught:
        check_scopes(creator, asked)
    assert (caught.value.code, caught.value.field) == (code, field)


def test_nobody_grants_above_themselves() -> None:
    ranks = [Role.VIEWER, Role.MEMBER, Role.ADMIN, Role.OWNER]
    for mine, own in enumerate(ranks):
        for theirs, role in enumerate(ranks):
            if theirs <= mine:
                check_role(_principal("control", role=own), role)
                continue
            with pytest.raises(AlloydError) as caught:
                check_role(_principal("control", role=own), role)
            assert (caught.value.code, caught.value.field) == (Code.FORBIDDEN, "role")


@pytest.mark.parametrize("expires_at", [None, 1001, 1000 + LIFETIME_MS_MAX])
def test_expiry(expires_at: int | None) -> None:
    check_expiry(expires_at, 1000)


@pytest.mark.parametrize("expires_at", [-1, 999, 1000, 1001 + LIFETIME_MS_MAX])
def test_refused_expiry(expires_at: int) -> None:
    with pytest.raises(AlloydError, match="expires_at"):
        check_expiry(expires_at, 1000)
