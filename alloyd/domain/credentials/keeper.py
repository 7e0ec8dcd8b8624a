"""Credentials as requests carry them: access tokens are replaced before their end, once however many runs wait."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

import msgspec

from alloyd.db import Tx
from alloyd.domain.connectors.model import Connector
from alloyd.domain.credentials import store
from alloyd.domain.credentials.model import (
    FAILED,
    OK,
    Credential,
    Presented,
    RefreshError,
    present,
    seal_about,
)
from alloyd.domain.credentials.service import CredentialService, can_refresh, must_find, tell
from alloyd.domain.credentials.tokens import ask
from alloyd.egress import Outbound
from alloyd.errors import AlloydError, Code
from alloyd.kit.crypto import UnsealError

PAUSES_MAX: Final = 10_000


class CredentialKeeper:
    """Presents credentials. One refresh of each is under way at a time; the others wait for it."""

    def __init__(self, credentials: CredentialService, outbound: Outbound) -> None:
        self._credentials = credentials
        self._outbound = outbound
        self._refreshing: dict[str, asyncio.Task[Credential]] = {}
        # By credential: the content that failed, until when nobody asks again, and what was said.
        self._pauses: dict[str, tuple[int, int, RefreshError]] = {}

    async def present(self, connector: Connector, one: Credential) -> Presented:
        """``one`` as a request carries it, with a new access token when the old one is about to end.

        Raises :class:`RefreshError` when it has ended and no new one can be had, ``conflict`` when the connector does
        not know its kind any more. Emits ``credential.refresh_failed``.
        """
        settings, now = self._credentials.settings, self._credentials.clock.now_ms()
        if one.refreshable and one.expires_at is not None and one.expires_at - settings.refresh_skew_ms <= now:
            try:
                one = await self._refreshed(connector, one)
            except RefreshError:
                if one.expires_at is not None and one.expires_at <= now:
                    raise
        elif one.expires_at is not None and one.expires_at <= now:
            raise RefreshError(
                "the access token is over and nothing replaces it: connect the account again", retryable=False
            )
        self._credentials.note_used(one)
        return self._presented(connector, one)

    async def renew(self, connector: Connector, refused: Presented) -> Presented | None:
        """After a 401: the credential with another token than ``refused`` had; None when it can have none.

        Raises :class:`RefreshError`. Emits ``credential.refresh_failed``.
        """
        if not refused.credential.refreshable:
            return None
        return self._presented(connector, await self._refreshed(connector, refused.credential))

    def _presented(self, connector: Connector, one: Credential) -> Presented:
        auth = connector.definition.find_auth(one.kind)
        if auth is None:
            raise AlloydError(Code.CONFLICT, f"{connector.name} takes no {one.kind} any more")
        return present(auth, one, self._open(one))

    def _open(self, one: Credential) -> dict[str, Any]:
        try:
            return self._credentials.open(one)
        except UnsealError as error:
            raise AlloydError(Code.INTERNAL, "the credential can't be opened", log=str(error)) from error

    async def _refreshed(self, connector: Connector, one: Credential) -> Credential:
        flight = self._refreshing.get(one.id)
        if flight is None:
            flight = asyncio.create_task(self._refresh(connector, one), name=f"refresh of credential {one.id}")
            self._refreshing[one.id] = flight
            flight.add_done_callback(lambda done: self._landed(one.id, done))
        return await asyncio.shield(flight)  # who gives up waiting must not end it for the others

    def _landed(self, credential_id: str, done: asyncio.Task[Credential]) -> None:
        self._refreshing.pop(credential_id, None)
        if not done.cancelled():
            done.exception()  # each waiter raises it; with none left nobody has to hear of it

    async def _refresh(self, connector: Connector, seen: Credential) -> Credential:
        service = self._credentials
        one = await service.database.read(lambda conn: must_find(conn, seen.org_id, seen.id))
        if one.version != seen.version:
            return one  # somebody was faster: what was seen is old
        pause = self._pauses.get(one.id)
        if pause is not None and pause[0] == one.version and service.clock.now_ms() < pause[1]:
            raise pause[2]
        auth = connector.definition.find_auth(one.kind)
        data = self._open(one)
        if auth is None or not can_refresh(data):
            raise RefreshError("the credential has nothing that gets a new access token", retryable=False)
        grant = {"grant_type": "refresh_token", "refresh_token": str(data["refresh_token"])}
        try:
            tokens = await ask(self._outbound, auth, one.settings, data, grant, service.settings.token_timeout_s)
        except RefreshError as error:
            await self._note_failure(one, error)
            raise
        fresh = {**data, "access_token": tokens.access_token}
        if tokens.refresh_token is not None:
            fresh["refresh_token"] = tokens.refresh_token
        return await self._store(one, fresh, tokens.expires_in_s)

    async def _store(self, one: Credential, fresh: dict[str, Any], expires_in_s: int | None) -> Credential:
        service = self._credentials
        expires_at = None if expires_in_s is None else service.clock.now_ms() + expires_in_s * 1000
        sealed = service.sealer.seal(msgspec.json.encode(fresh), seal_about(one.org_id, one.id))
        after = replace(
            one,
            data=sealed,
            key_id=service.sealer.key_id,
            version=one.version + 1,
            status=OK,
            fault=None,
            expires_at=expires_at,
        )

        def write(tx: Tx) -> Credential:
            stored = replace(after, updated_at=tx.now)
            # Who gave the credential other content meanwhile knows better than the refresh.
            return (
                stored
                if store.update(tx, stored, one.version, with_data=True)
                else must_find(tx.conn, one.org_id, one.id)
            )

        stored = await service.database.write(write)
        self._pauses.pop(one.id, None)
        return stored

    async def _note_failure(self, one: Credential, error: RefreshError) -> None:
        service = self._credentials
        if len(self._pauses) >= PAUSES_MAX:
            self._pauses.clear()
        self._pauses[one.id] = (one.version, service.clock.now_ms() + service.settings.refresh_pause_ms, error)

        def write(tx: Tx) -> None:
            # The content stays, and so its version: the next refresh begins with the same refresh token.
            failed = replace(one, status=FAILED, fault=error.message, updated_at=tx.now)
            if store.update(tx, failed, one.version, with_data=False) and (one.status, one.fault) != (
                FAILED,
                error.message,
            ):
                tell(tx, failed, "credential.refresh_failed", reason=error.message, retryable=error.retryable)

        await service.database.write(write)

    async def close(self) -> None:
        """Let refreshes under way end: what a vendor has given must be stored."""
        await asyncio.gather(*self._refreshing.values(), return_exceptions=True)
