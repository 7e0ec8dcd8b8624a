"""Use cases of API keys: authenticate, create, list, disable, revoke, rotate."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import Any

from alloyd.db import Database, Tx
from alloyd.domain.authz.model import Subject
from alloyd.domain.authz.service import Resource, authorize, copy_denies, copy_grants, grants_of
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.keys import model, store
from alloyd.domain.keys.cache import CachedKey, KeyCache
from alloyd.domain.keys.model import ApiKey, CreateKey, IssuedKey, KeyState
from alloyd.domain.orgs import service as orgs
from alloyd.domain.orgs.model import DEFAULT_SLUG, Organization, check_name
from alloyd.domain.orgs.service import OrgService
from alloyd.domain.teams.service import require_team
from alloyd.errors import AlloydError, Code, bad_request, conflict, not_found
from alloyd.events.hub import Hub
from alloyd.events.model import Event
from alloyd.kit import crash
from alloyd.kit.clock import Clock
from alloyd.kit.ids import new_id
from alloyd.kit.text import fault_of_line
from alloyd.principal import SURFACE_SCOPES, Grant, Principal, Role

# A look-up is made again when keys were dropped meanwhile; so often in a row that is an attack or a fault.
LOOKUPS_MAX = 10
# Looked at again each time: a key of a moment's life may be committed after its end was looked for.
EXPIRY_OVERLAP_MS = 60_000
_NO_HASH = bytes(32)

# Teammates are built of what is built of keys' neighbours, so they are asked, not imported: (conn, org_id, id).
RequireTeammate = Callable[[sqlite3.Connection, str, str], object]


@dataclass(frozen=True, slots=True)
class KeySettings:
    """The configuration's ``auth.key_cache_max``."""

    cache_max: int = 10_000


@dataclass(frozen=True, slots=True)
class FirstKey:
    """What the first start of an empty directory makes: an organization and its owner's key, shown once."""

    org: Organization
    issued: IssuedKey


class KeyService:
    """The only door to API keys.

    A key that is disabled, revoked, expired, or whose organization is archived, stops at once: it leaves the cache
    as the change commits, and its open streams are closed.
    """

    def __init__(
        self, database: Database, hub: Hub, clock: Clock, orgs_: OrgService, settings: KeySettings | None = None
    ) -> None:
        self._database = database
        self._hub = hub
        self._clock = clock
        self._settings = settings or KeySettings()
        self._cache = KeyCache(clock, self._settings.cache_max)
        self._expiries_seen_ms = clock.now_ms()
        self.changed = asyncio.Event()  # the worker has to look again: another expiry, or many uses to write down
        # The cached path of every request, without a call in between.
        self.find_cached: Callable[[str, str, frozenset[str]], Principal | None] = self._cache.find
        orgs_.on_archive(self._end_all_of)
        self._require_teammate: RequireTeammate = _no_teammate

    def bind_to(self, require: RequireTeammate) -> None:
        """``require`` raises unless an organization has a teammate of that id: until it is told, no key is bound."""
        self._require_teammate = require

    # -- authenticating --------------------------------------------------------------------------------------

    async def authenticate(self, raw: str, surface: str, accepts: frozenset[str]) -> Principal | None:
        """The principal of ``raw`` on ``surface``, None for every key that does not work there, whatever the reason.

        ``accepts`` are the scopes of which the key needs one. Unknown ids and wrong secrets take the same work and
        leave nothing behind.
        """
        key_id = model.parse_raw_key(raw)
        if key_id is None:
            return None
        given = model.hash_raw_key(raw)
        for _ in range(LOOKUPS_MAX):
            epoch = self._cache.epoch
            found = await self._database.read(lambda conn: _find_secret(conn, key_id))
            if epoch == self._cache.epoch:
                return self._check(found, given, surface, accepts)
        raise AlloydError(Code.UNAVAILABLE, "keys are changing too fast; try again", retry_after_s=1)

    def _check(
        self, found: tuple[store.Secret, tuple[Grant, ...]] | None, given: bytes, surface: str, accepts: frozenset[str]
    ) -> Principal | None:
        secret, grants = found or (None, ())
        matches = compare_digest(given, _NO_HASH if secret is None else secret.secret_hash)
        if secret is None or not matches:
            return None
        key = secret.key
        if secret.org_archived or key.state(self._clock.now_ms()) is not KeyState.ACTIVE:
            return None
        if accepts.isdisjoint(key.working_scopes):
            return None
        entry = CachedKey(key, given, grants)
        self._cache.put(entry)
        if self.flush_is_due:
            self.changed.set()
        return entry.principal(surface)

    def forget_grants(self, tx: Tx, org_id: str, subject: Subject) -> None:
        """What refines a principal changes in ``tx``: if it is a key, it is looked up again from the commit on."""
        key = store.find(tx.conn, org_id, subject.id)
        if key is not None:
            tx.after_commit(lambda: self._cache.drop([key.key_id]))

    # -- reading ---------------------------------------------------------------------------------------------

    async def get(self, principal: Principal, id_: str) -> ApiKey:
        """One of the organization's keys, ended ones too. Raises ``not_found``."""
        key = await self._database.read(lambda conn: _must_find(conn, principal.org_id, id_))
        return self._with_last_use(key)

    async def find_organization(self, id_: str) -> str | None:
        """The organization that a key belongs to, None when there is no such key."""
        return await self._database.read(lambda conn: store.find_org_id(conn, id_))

    async def list_all(self, principal: Principal, limit: int, before_id: str | None = None) -> list[ApiKey]:
        """A page of the organization's keys, newest first, ended ones too."""
        keys = await self._database.read(lambda conn: store.list_before(conn, principal.org_id, before_id, limit))
        return [self._with_last_use(key) for key in keys]

    def _with_last_use(self, key: ApiKey) -> ApiKey:
        return replace(key, last_used_at=self._cache.last_used_at(key))

    # -- changing --------------------------------------------------------------------------------------------

    async def create(self, principal: Principal, new: CreateKey, once: Once | None = None) -> IssuedKey:
        """Make a key. A repeat of ``once`` answers with the first one, but never with its raw text again.

        What the creator is denied is denied to the key as well. Raises ``bad_request`` (name, description, scopes,
        expires_at, teammate_id), ``not_found`` (team, teammate), ``forbidden`` for a role or scope above the creator's,
        ``conflict`` when the organization is archived or has too many keys. Emits ``api_key.created``.
        """
        check_name(new.name, "name", model.NAME_CHARS_MAX)
        if new.description is not None:
            _check_description(new.description)
        checked = replace(new, scopes=model.scopes_of(principal, new))
        model.check_role(principal, new.role)

        def write(tx: Tx) -> IssuedKey:
            made = idempotency.find_made(tx, principal.org_id, once)
            if made is not None:
                return IssuedKey(_must_find(tx.conn, principal.org_id, made), None)
            model.check_expiry(new.expires_at, tx.now)
            orgs.require_active(tx, principal.org_id)
            if new.team_id is not None:
                require_team(tx.conn, principal.org_id, new.team_id)
            if new.teammate_id is not None:
                self._require_teammate(tx.conn, principal.org_id, new.teammate_id)
            issued = _issue(tx, principal.org_id, principal.id, checked)
            copy_denies(tx, principal, issued.key.id)
            idempotency.remember_made(tx, principal.org_id, once, issued.key.id)
            tx.after_commit(self.changed.set)
            return issued

        return await self._database.write(write)

    async def disable(self, principal: Principal, id_: str) -> ApiKey:
        """Stop a key at once. Again on a disabled one it changes nothing.

        Raises ``not_found``, ``forbidden`` for a key with a role above the caller's, ``conflict`` for a revoked one.
        Emits ``api_key.disabled``.
        """

        def write(tx: Tx) -> ApiKey:
            key = _must_find(tx.conn, principal.org_id, id_)
            _require_rule_over(principal, "api_key.disable", key)
            if key.revoked_at is not None:
                raise conflict("the key is revoked")
            if key.disabled_at is not None:
                return key
            store.disable(tx, key.org_id, key.id)
            tx.emit(Event(key.org_id, "api_key.disabled", key.id, {"name": key.name}))
            self._end(tx, [(key.id, key.key_id)], "the key was disabled")
            return _must_find(tx.conn, key.org_id, key.id)

        return self._with_last_use(await self._database.write(write))

    async def revoke(self, principal: Principal, id_: str) -> ApiKey:
        """End a key for good and at once; it stays in the list. Again on a revoked one it changes nothing.

        Raises ``not_found``, ``forbidden`` for a key with a role above the caller's. Emits ``api_key.revoked``.
        """

        def write(tx: Tx) -> ApiKey:
            key = _must_find(tx.conn, principal.org_id, id_)
            _require_rule_over(principal, "api_key.revoke", key)
            if key.revoked_at is not None:
                return key
            store.revoke(tx, key.org_id, key.id)
            tx.emit(Event(key.org_id, "api_key.revoked", key.id, {"name": key.name}))
            self._end(tx, [(key.id, key.key_id)], "the key was revoked")
            return _must_find(tx.conn, key.org_id, key.id)

        return self._with_last_use(await self._database.write(write))

    async def rotate(self, principal: Principal, id_: str, grace_ms: int = 0, once: Once | None = None) -> IssuedKey:
        """Make a new key like the one ``id_``, which itself ends after ``grace_ms`` milliseconds (0: at once).

        Raises ``bad_request`` (grace_ms), ``not_found``, ``forbidden`` for a key with a role or scopes above the
        caller's, ``conflict`` when it does not work any more. Emits ``api_key.created`` and ``api_key.rotated``.
        """
        if not 0 <= grace_ms <= model.GRACE_MS_MAX:
            raise bad_request(f"grace_ms: from 0 to {model.GRACE_MS_MAX}", "grace_ms")

        def write(tx: Tx) -> IssuedKey:
            made = idempotency.find_made(tx, principal.org_id, once)
            if made is not None:
                return IssuedKey(_must_find(tx.conn, principal.org_id, made), None)
            old = _must_find(tx.conn, principal.org_id, id_)
            _require_rule_over(principal, "api_key.rotate", old)
            model.scopes_of(principal, _again(old))
            if old.state(tx.now) is not KeyState.ACTIVE:
                raise conflict(f"the key is {old.state(tx.now)}")
            orgs.require_active(tx, old.org_id)
            issued = _issue(tx, old.org_id, principal.id, replace(_again(old), scopes=old.scopes))
            copy_grants(tx, old.org_id, old.id, issued.key.id)
            copy_denies(tx, principal, issued.key.id)  # whoever rotates a key gets to know it
            ends_at = min(tx.now + grace_ms, old.expires_at or tx.now + grace_ms)
            store.set_expiry(tx, old.org_id, old.id, ends_at)
            payload = {"name": old.name, "replaced_by": issued.key.id}
            tx.emit(Event(old.org_id, "api_key.rotated", old.id, payload))
            idempotency.remember_made(tx, principal.org_id, once, issued.key.id)
            if grace_ms == 0:
                self._end(tx, [(old.id, old.key_id)], "the key was rotated")
            else:  # only what is cached is stale, the streams go on until the end
                tx.after_commit(lambda: self._cache.drop([old.key_id]))
            tx.after_commit(self.changed.set)
            return issued

        return await self._database.write(write)

    async def bootstrap(self) -> FirstKey | None:
        """On the first start of an empty directory: the organization `default` and its owner's key. None later on.

        Whoever shows the key says so with :meth:`note_first_key_told`. Until then each start makes another one: nobody
        may have seen those before. They go on working, for somebody may. Emits ``organization.created`` and
        ``api_key.created``.
        """

        def write(tx: Tx) -> FirstKey | None:
            untold_id = store.find_untold_org(tx)
            if untold_id is not None:
                org = orgs.get_within(tx.conn, untold_id)
            elif not orgs.exists_any(tx):
                org = orgs.insert(tx, DEFAULT_SLUG, "Default")
            else:
                return None
            if org.archived_at is not None:
                return None
            new = CreateKey("owner", tuple(sorted(SURFACE_SCOPES)), Role.OWNER, None, "made at the first start")
            store.note_untold_org(tx, org.id)
            return FirstKey(org, _issue(tx, org.id, "system", new))

        first = await self._database.write(write)
        if first is not None:
            crash.reach("first_key.made")
        return first

    async def note_first_key_told(self) -> None:
        """The key that :meth:`bootstrap` made was shown: no later start makes another one."""
        crash.reach("first_key.told")
        await self._database.write(store.forget_untold_org)

    def keep_team(self, tx: Tx, org_id: str, team_id: str) -> None:
        """For who deletes a team: raise ``conflict`` while a working key is bound to it."""
        if store.exists_live_of_team(tx, org_id, team_id):
            raise conflict("keys are bound to the team; revoke or replace them first")

    def end_of_teammate(self, tx: Tx, org_id: str, teammate_id: str) -> None:
        """For who deletes a teammate: its keys are revoked in ``tx``. Emits ``api_key.revoked`` for each."""
        keys = store.list_unrevoked_of_teammate(tx, org_id, teammate_id)
        for id_, _key_id, name in keys:
            store.revoke(tx, org_id, id_)
            tx.emit(Event(org_id, "api_key.revoked", id_, {"name": name, "teammate_id": teammate_id}))
        self._end(tx, [(id_, key_id) for id_, key_id, _name in keys], "the key's teammate was deleted")

    # -- ending ----------------------------------------------------------------------------------------------

    def _end(self, tx: Tx, keys: Collection[tuple[str, str]], reason: str) -> None:
        tx.after_commit(lambda: self._end_now(keys, reason))

    def _end_now(self, keys: Collection[tuple[str, str]], reason: str) -> None:
        self._cache.drop([key_id for _id, key_id in keys])
        for id_, _key_id in keys:
            self._hub.close_tagged(id_, reason)

    def _end_all_of(self, tx: Tx, org_id: str) -> None:
        """The organization is being archived."""
        self._end(tx, store.list_live(tx, org_id), "the organization was archived")

    async def end_expired(self) -> int | None:
        """Close the streams of keys whose time has come; when the next one comes, in ms since the epoch."""
        until = self._clock.now_ms()
        after = min(self._expiries_seen_ms, until) - EXPIRY_OVERLAP_MS
        expired, following = await self._database.read(
            lambda conn: (store.list_expired(conn, after, until), store.find_next_expiry(conn, until))
        )
        if expired:
            self._end_now(expired, "the key expired")
        self._expiries_seen_ms = until
        return following

    @property
    def flush_is_due(self) -> bool:
        """Whether more uses wait to be written down than the cache holds keys."""
        return self._cache.used_count > self._settings.cache_max

    async def flush_last_used(self) -> int:
        """Write down, in one write, when which keys were last used; how many there were."""
        used = self._cache.take_used()
        if not used:
            return 0
        rows = [(entry.used_at, entry.org_id, entry.id) for entry in used]
        try:
            await self._database.write(lambda tx: store.update_last_used(tx, rows))
        except BaseException:
            self._cache.put_back_used(used)
            raise
        return len(rows)


def _no_teammate(_conn: sqlite3.Connection, _org_id: str, _id: str) -> None:
    raise not_found("teammate")


def _issue(tx: Tx, org_id: str, created_by: str, new: CreateKey) -> IssuedKey:
    if store.count_live(tx, org_id, model.KEYS_PER_ORG_MAX) >= model.KEYS_PER_ORG_MAX:
        raise conflict(f"an organization has at most {model.KEYS_PER_ORG_MAX} working keys; revoke some first")
    raw = model.new_raw_key()
    while store.exists_key_id(tx, raw[model.ID_SLICE]):
        raw = model.new_raw_key()
    key = ApiKey(
        id=new_id(),
        org_id=org_id,
        name=new.name,
        description=new.description,
        key_id=raw[model.ID_SLICE],
        scopes=new.scopes or (),
        role=new.role,
        created_by=created_by,
        created_at=tx.now,
        expires_at=new.expires_at,
        disabled_at=None,
        revoked_at=None,
        last_used_at=None,
        team_id=new.team_id,
        teammate_id=new.teammate_id,
    )
    store.insert(tx, key, model.hash_raw_key(raw))
    payload: dict[str, Any] = {"name": key.name, "role": key.role.value, "scopes": key.scopes, "created_by": created_by}
    if key.team_id is not None:
        payload["team_id"] = key.team_id
    if key.teammate_id is not None:
        payload["teammate_id"] = key.teammate_id
    tx.emit(Event(org_id, "api_key.created", key.id, payload))
    return IssuedKey(key, raw)


def _again(old: ApiKey) -> CreateKey:
    """What a key like ``old`` is asked for with: a bound one gets its scope by being bound."""
    scopes = None if old.teammate_id is not None else old.scopes
    return CreateKey(old.name, scopes, old.role, old.expires_at, old.description, old.team_id, old.teammate_id)


def _find_secret(conn: sqlite3.Connection, key_id: str) -> tuple[store.Secret, tuple[Grant, ...]] | None:
    secret = store.find_secret(conn, key_id)
    return None if secret is None else (secret, grants_of(conn, [secret.key.org_id], secret.key.id))


def _must_find(conn: sqlite3.Connection, org_id: str, id_: str) -> ApiKey:
    key = store.find(conn, org_id, id_)
    if key is None:
        raise not_found("api key")
    return key


def _require_rule_over(principal: Principal, action: str, key: ApiKey) -> None:
    """Nobody ends or renews a key that stands above themselves."""
    authorize(principal, action, Resource("api key", key.id, key.org_id))
    model.check_role(principal, key.role)


def _check_description(description: str) -> None:
    fault = fault_of_line(description, model.DESCRIPTION_CHARS_MAX)
    if fault is not None:
        raise bad_request(f"description: {fault}", "description")
