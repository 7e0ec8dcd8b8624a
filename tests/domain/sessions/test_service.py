"""Signing in, and every way in which a token ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from alloyd.domain.sessions.model import REVOKED_PER_USER_MAX, IssuedToken, SessionSettings, Use
from alloyd.domain.users.model import User
from alloyd.domain.users.service import NOBODYS_HASH
from alloyd.errors import AlloydError, Code
from alloyd.events.hub import Reader
from alloyd.principal import SCOPES, Kind, Principal, Role, Standing
from tests.identity import PASSWORD, World, open_world

ADDRESS = "192.0.2.1"
SETTINGS = SessionSettings(
    attempts_per_account=3, attempts_per_address=6, attempts_window_s=60, user_cache_max=3, checks_waiting_max=5
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, settings=SETTINGS) as opened:
        await opened.make_org("acme")
        yield opened


@pytest.fixture
async def ann(world: World) -> User:
    return await world.make_user("ann", role=Role.ADMIN)


class CountedHasher:
    """Counts the passwords that are checked, and against which hashes."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self._hasher = hasher
        self.checked: list[str] = []

    def verify(self, password_hash: str, password: bytes) -> bool:
        self.checked.append(password_hash)
        return self._hasher.verify(password_hash, password)

    def hash(self, password: str) -> str:
        return self._hasher.hash(password)


@pytest.fixture
def hasher(world: World, monkeypatch: pytest.MonkeyPatch) -> CountedHasher:
    counted = CountedHasher(PasswordHasher())
    monkeypatch.setattr(world.users, "_hasher", counted)
    return counted


async def _refusal(awaited: Awaitable[Any]) -> tuple[Code, str, int | None]:
    with pytest.raises(AlloydError) as caught:
        await awaited
    return caught.value.code, caught.value.message, caught.value.retry_after_s


async def _principal(world: World, issued: IssuedToken) -> Principal | None:
    return await world.sessions.authenticate(issued.token)


async def _known(world: World, issued: IssuedToken) -> Principal:
    principal = await _principal(world, issued)
    assert principal is not None
    return principal


async def test_sign_in(world: World, ann: User) -> None:
    org = await world.orgs.get_by_name("acme")
    issued = await world.sessions.sign_in("ANN@example.com ", PASSWORD, None, ADDRESS)
    principal = await _principal(world, issued)
    assert principal == Principal(
        Kind.USER,
        ann.id,
        org.id,
        Role.ADMIN,
        SCOPES,
        standings=(Standing(org.id, Role.ADMIN),),
        expires_at=world.clock.now_ms() + 3600_000,
    )
    assert issued.expires_in_s == 3600
    assert (await world.told())[-1] == ("user.signed_in", ann.id, {"expires_in_s": 3600})
    assert issued.token not in repr(issued)
    assert world.sessions.find_cached(issued.token) == principal
    world.clock.advance(3600_000)
    assert await _principal(world, issued) is None
    assert world.sessions.find_cached(issued.token) is None


async def test_organization_of_the_token(world: World, ann: User) -> None:
    first = (await world.orgs.get_by_name("acme")).id
    world.clock.advance(1)
    second, foreign = (await world.make_org("second")).id, (await world.make_org("foreign")).id
    await world.join(ann, "second", Role.VIEWER)
    for asked, got in ((None, first), (first, first), (second, second)):
        issued = await world.sessions.sign_in(ann.email, PASSWORD, asked, ADDRESS)
        principal = await _principal(world, issued)
        assert principal is not None
        assert (principal.org_id, principal.org_ids) == (got, {first, second})
        assert principal.role is (Role.ADMIN if got == first else Role.VIEWER)
    assert (await _refusal(world.sessions.sign_in(ann.email, PASSWORD, foreign, ADDRESS)))[:2] == (
        Code.NOT_FOUND,
        "organization not found",
    )


async def test_wrong_password_unknown_user_and_disabled_one_are_alike(
    world: World, ann: User, hasher: CountedHasher
) -> None:
    disabled = await world.make_user("ben")
    await world.users.disable(disabled.id)
    said = []
    for email, password in (
        (ann.email, "wrong"),
        ("nobody@example.com", PASSWORD),
        ("no address at all", PASSWORD),
        (disabled.email, PASSWORD),
        (disabled.email, "wrong"),
        (ann.email, "x" * 5000),
    ):
        hasher.checked.clear()
        said.append(await _refusal(world.sessions.sign_in(email, password, None, f"192.0.2.{len(said)}")))
        assert len(hasher.checked) == 1, email  # the same work: one hash, of the same cost
    assert set(said) == {(Code.UNAUTHORIZED, "email or password: not right", None)}


async def test_work_for_nobody_is_that_for_somebody(world: World, ann: User) -> None:
    stored = await world.database.read(
        lambda conn: conn.execute("SELECT password_hash FROM users WHERE id = ?", (ann.id,)).fetchone()[0]
    )
    assert NOBODYS_HASH.rsplit("$", 2)[0] == stored.rsplit("$", 2)[0]
    assert not PasswordHasher().check_needs_rehash(NOBODYS_HASH)


async def test_too_many_failures_of_an_account(world: World, ann: User, hasher: CountedHasher) -> None:
    for number in range(3):
        address = f"192.0.2.{number}"
        assert (await _refusal(world.sessions.sign_in(ann.email, "wrong", None, address)))[0] is Code.UNAUTHORIZED
    for password in ("wrong", PASSWORD):  # nor does the right one tell that it is right
        refused = await _refusal(world.sessions.sign_in(ann.email.upper(), password, None, "192.0.2.9"))
        assert refused == (Code.RATE_LIMITED, "too many attempts to sign in; try again later", 20)
    assert len(hasher.checked) == 3
    for email in ("nobody@example.com",) * 3:  # the same for who is not there
        assert (await _refusal(world.sessions.sign_in(email, "wrong", None, "192.0.2.10")))[0] is Code.UNAUTHORIZED
    assert (await _refusal(world.sessions.sign_in("nobody@example.com", "x", None, "192.0.2.11")))[2] == 20
    world.clock.advance(20_000)
    assert await world.sessions.sign_in(ann.email, PASSWORD, None, "192.0.2.9")


async def test_too_many_failures_from_an_address(world: World, ann: User, hasher: CountedHasher) -> None:
    for number in range(6):
        address = f"2001:db8::{number}"
        code, _message, _wait = await _refusal(world.sessions.sign_in(f"u{number}@example.com", "x", None, address))
        assert code is Code.UNAUTHORIZED
    refused = await _refusal(world.sessions.sign_in(ann.email, PASSWORD, None, "2001:db8::ffff"))
    assert (refused[0], refused[2]) == (Code.RATE_LIMITED, 10)
    assert len(hasher.checked) == 6
    assert await world.sessions.sign_in(ann.email, PASSWORD, None, "2001:db8:0:1::1")


async def test_success_costs_no_attempt(world: World, ann: User) -> None:
    for _ in range(8):
        await world.sessions.sign_in(ann.email, PASSWORD, None, ADDRESS)


async def test_a_burst_is_counted_before_it_is_checked(world: World, ann: User, hasher: CountedHasher) -> None:
    said = await asyncio.gather(
        *(_refusal(world.sessions.sign_in(ann.email, "wrong", None, ADDRESS)) for _ in range(20))
    )
    assert len(hasher.checked) == 3
    assert [code for code, _message, _wait in said].count(Code.RATE_LIMITED) == 17


async def test_few_wait_for_the_hash(world: World, hasher: CountedHasher) -> None:
    attempts = [world.sessions.sign_in(f"u{n}@example.com", "x", None, f"192.0.2.{n}") for n in range(8)]
    said = [code for code, _message, _wait in await asyncio.gather(*(_refusal(attempt) for attempt in attempts))]
    assert sorted(said) == sorted([Code.UNAUTHORIZED] * 5 + [Code.RATE_LIMITED] * 3)
    assert len(hasher.checked) == 5
    assert (await _refusal(world.sessions.sign_in("u9@example.com", "x", None, ADDRESS)))[0] is Code.UNAUTHORIZED


async def _disable(world: World, ann: User) -> None:
    await world.users.disable(ann.id)


async def _set_password(world: World, ann: User) -> None:
    await world.users.set_password(ann.id, "another password altogether")


async def _remove(world: World, ann: User) -> None:
    org = await world.orgs.get_by_name("acme")
    await world.database.write(lambda tx: world.users.members.remove(tx, org.id, ann.id))


async def _archive(world: World, _ann: User) -> None:
    await world.orgs.archive("acme")


async def _sign_out_everywhere(world: World, ann: User) -> None:
    await world.users.sign_out_everywhere(ann.id)


End = Callable[[World, User], Awaitable[None]]


@pytest.mark.parametrize("end", [_disable, _set_password, _remove, _archive, _sign_out_everywhere])
@pytest.mark.parametrize("cached", [True, False])
async def test_ends_at_once(world: World, ann: User, end: End, cached: bool) -> None:
    """Before whoever ends it is answered: for cached users, for others, and on open streams."""
    issued = await world.token(ann)
    if cached:
        assert await _principal(world, issued) is not None
    reader = world.hub.open({"any"}, tag=ann.id)
    await end(world, ann)
    assert world.sessions.find_cached(issued.token) is None
    assert await _principal(world, issued) is None
    assert reader.closed


@pytest.mark.parametrize("end", [_set_password, _sign_out_everywhere])
async def test_tokens_after_that_are_good(world: World, ann: User, end: End) -> None:
    await end(world, ann)  # in the very same second
    assert await _principal(world, await world.token(ann)) is not None


async def test_changed_role_holds_at_once(world: World, ann: User) -> None:
    org = await world.orgs.get_by_name("acme")
    issued = await world.token(ann)
    assert (await _known(world, issued)).role is Role.ADMIN
    await world.database.write(lambda tx: world.users.members.change_role(tx, org.id, ann.id, Role.VIEWER))
    assert (await _known(world, issued)).role is Role.VIEWER


async def test_a_token_is_not_turned_to_another_organization(world: World, ann: User) -> None:
    second = await world.make_org("second")
    await world.join(ann, "second")
    here, there = await world.token(ann, "acme"), await world.token(ann, "second")
    await _remove(world, ann)
    assert await _principal(world, here) is None
    assert (await _known(world, there)).org_ids == {second.id}


async def test_user_without_any_organization(world: World, ann: User) -> None:
    await _remove(world, ann)
    issued = await world.sessions.sign_in(ann.email, PASSWORD, None, ADDRESS)
    principal = await _known(world, issued)
    assert (principal.org_id, principal.org_ids, principal.may("organization.read")) == ("", frozenset(), False)
    founded = await world.users.found_organization(ann.id, "mine", "Mine")
    principal = await _known(world, issued)
    assert (principal.org_id, principal.role) == (founded.id, Role.OWNER)


async def test_sign_out_of_one_token(world: World, ann: User) -> None:
    first, second = await world.token(ann), await world.token(ann)
    principal = await _known(world, first)
    reader: Reader = world.hub.open({"any"}, tag=ann.id)
    await world.sessions.sign_out(principal, first.token, everywhere=False)
    assert reader.closed == "the user signed out"
    assert await _principal(world, first) is None
    assert await _principal(world, second) is not None
    assert (await world.told())[-1] == ("user.signed_out", ann.id, {})
    await world.sessions.sign_out(principal, second.token, everywhere=True)
    assert await _principal(world, second) is None
    assert await _principal(world, await world.token(ann)) is not None


async def test_sign_out_needs_ones_own_token(world: World, ann: User) -> None:
    ben = await world.make_user("ben")
    principal = await _known(world, await world.token(ann))
    for token in ((await world.token(ben)).token, "nonsense", ""):
        assert (await _refusal(world.sessions.sign_out(principal, token, everywhere=True)))[0] is Code.FORBIDDEN


async def test_list_of_signed_out_tokens_is_bounded(world: World, ann: User) -> None:
    async def count() -> int:
        return int(
            await world.database.read(lambda conn: conn.execute("SELECT count(*) FROM revoked_tokens").fetchone()[0])
        )

    kept = await world.token(ann, ttl_s=7200)
    for _ in range(REVOKED_PER_USER_MAX):
        issued = await world.token(ann)
        principal = await _known(world, issued)
        await world.sessions.sign_out(principal, issued.token, everywhere=False)
    assert await count() == REVOKED_PER_USER_MAX
    assert await _principal(world, kept) is not None
    issued = await world.token(ann)
    await world.sessions.sign_out(principal, issued.token, everywhere=False)  # one too many ends them all
    assert await count() == REVOKED_PER_USER_MAX
    assert await _principal(world, kept) is None
    assert await _principal(world, issued) is None
    world.clock.advance(3600_000)
    issued = await world.token(ann)
    await world.sessions.sign_out(principal, issued.token, everywhere=False)
    assert await count() == 1


async def test_nothing_is_read_for_a_user_who_is_known(
    world: World, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued, other = await world.token(ann), await world.token(ann)
    await _principal(world, issued)
    monkeypatch.setattr(world.database, "read", None)
    assert await _principal(world, issued) is not None
    assert world.sessions.find_cached(other.token) is not None


async def test_cache_is_bounded(world: World) -> None:
    tokens = [await world.token(await world.make_user(f"u{number}")) for number in range(5)]
    for issued in tokens:
        assert await _principal(world, issued) is not None
    assert [world.sessions.find_cached(issued.token) is not None for issued in tokens] == [False, False] + [True] * 3


async def test_what_was_read_before_a_change_is_not_kept(
    world: World, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await world.token(ann)
    read = world.database.read

    async def read_and_change(work: Callable[[Any], Any]) -> Any:
        found = await read(work)
        monkeypatch.setattr(world.database, "read", read)
        await world.users.disable(ann.id)
        return found

    monkeypatch.setattr(world.database, "read", read_and_change)
    assert await _principal(world, issued) is None


async def test_users_that_never_stand_still(world: World, ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = await world.token(ann)
    read = world.database.read

    async def read_and_change(work: Callable[[Any], Any]) -> Any:
        found = await read(work)
        await world.database.write(lambda tx: world.users.members.note_change(tx, "somebody", "changed"))
        return found

    monkeypatch.setattr(world.database, "read", read_and_change)
    assert (await _refusal(world.sessions.authenticate(issued.token)))[0] is Code.UNAVAILABLE


async def test_password_that_changes_while_it_is_checked(
    world: World, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    matches = world.users._matches

    async def check_and_change(password_hash: str, password: str) -> bool:
        right = await matches(password_hash, password)
        await world.users.set_password(ann.id, "another password altogether")
        return right

    monkeypatch.setattr(world.users, "_matches", check_and_change)
    assert (await _refusal(world.sessions.sign_in(ann.email, PASSWORD, None, ADDRESS)))[0] is Code.UNAUTHORIZED


async def test_token_of_a_user_who_never_was(world: World, ann: User) -> None:
    issued = await world.token(ann)
    forged = world.sessions._tokens[Use.CONTROL].sign(type(issued.claims)(**{**_members(issued), "sub": "nobody"}))
    assert await world.sessions.authenticate(forged) is None


def _members(issued: IssuedToken) -> dict[str, Any]:
    return {name: getattr(issued.claims, name) for name in issued.claims.__struct_fields__}
