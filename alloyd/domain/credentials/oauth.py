"""Connects an account: the vendor's page is opened with a state and a challenge, and its code becomes a credential."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from alloyd.db import Tx
from alloyd.domain.connectors.model import Auth, Connector
from alloyd.domain.connectors.request import check_settings, fill_url
from alloyd.domain.credentials import store
from alloyd.domain.credentials.model import (
    VALUE_CHARS_MAX,
    Credential,
    OauthClient,
    StartOauth,
    check_end_user_id,
    check_label,
)
from alloyd.domain.credentials.service import CredentialService, require_kind
from alloyd.domain.credentials.tokens import ask
from alloyd.egress import EgressError, Outbound
from alloyd.egress.hosts import parse_target
from alloyd.errors import AlloydError, Code, bad_request, conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.ids import random_token
from alloyd.principal import Principal, system_principal

STATE_CHARS: Final = 43
VERIFIER_CHARS: Final = 64
CODE_CHARS_MAX: Final = 4096
REDIRECT_CHARS_MAX: Final = 2048
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class _State(msgspec.Struct, frozen=True):
    """What is remembered, sealed, between the start and the callback."""

    connector: str
    principal_id: str
    client: dict[str, str]
    redirect_uri: str
    verifier: str | None
    label: str
    settings: dict[str, str]
    end_user_id: str | None


_STATE: Final = msgspec.json.Decoder(_State)
_CLIENT: Final = msgspec.json.Decoder(dict[str, str])


class OauthService:
    """Starts to connect accounts, and finishes."""

    def __init__(self, credentials: CredentialService, outbound: Outbound) -> None:
        self._credentials = credentials
        self._outbound = outbound

    async def start(self, principal: Principal, asked: StartOauth) -> tuple[str, str, int]:
        """``(authorize_url, state, expires_at)``; the state is used once and its time is short.

        A client that is given is remembered, sealed, as the organization's for this connector. Raises ``bad_request``
        (connector, client_id, redirect_uri, ...), ``conflict`` when a thousand are under way. Emits
        ``credential.oauth_started``.
        """
        service = self._credentials
        try:
            connector = await service.connectors.get(principal, asked.connector)
        except AlloydError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            raise bad_request(f"connector: there is no connector {asked.connector!r}", "connector") from None
        require_kind(connector, "oauth2")
        auth = connector.definition.find_auth("oauth2")
        assert auth is not None  # require_kind found it
        check_redirect(asked.redirect_uri)
        label = check_label(connector.definition.title if asked.label is None else asked.label)
        settings = check_settings(connector.definition, asked.settings)
        check_end_user_id(asked.end_user_id)
        client, is_new = await self._client(principal, connector, asked)
        state, verifier = random_token(STATE_CHARS), random_token(VERIFIER_CHARS) if auth.pkce else None
        kept = _State(
            connector.name, principal.id, client, asked.redirect_uri, verifier, label, settings, asked.end_user_id
        )
        digest, org_id = _digest(state), principal.org_id
        expires_at = service.clock.now_ms() + service.settings.state_ttl_ms
        sealed = service.sealer.seal(msgspec.json.encode(kept), _state_about(digest))
        sealed_client = service.sealer.seal(msgspec.json.encode(client), client_about(org_id, connector.name))
        key_id = service.sealer.key_id

        def write(tx: Tx) -> None:
            store.drop_old_states(tx)
            if store.count_states(tx.conn, org_id) >= service.settings.states_per_org_max:
                raise conflict(f"{service.settings.states_per_org_max} accounts are being connected already")
            if is_new:
                store.put_client(tx, org_id, connector.name, sealed_client, key_id)
            store.insert_state(tx, digest, org_id, sealed, expires_at)
            payload = {"connector": connector.name, "end_user_id": asked.end_user_id}
            tx.emit(Event(org_id, "credential.oauth_started", connector.id, payload))

        await service.database.write(write)
        return _authorize_url(auth, kept, asked.scopes, state), state, expires_at

    async def finish(self, state: str, code: str | None, error: str | None) -> Credential:
        """The callback: the code becomes a credential of the organization that started.

        Raises ``unauthorized`` for a state that is unknown, used or over, ``bad_request`` when the vendor's page said
        no, ``upstream_failed`` when its endpoint did. The state is gone in each case. Emits ``credential.created``.
        """
        service = self._credentials
        digest = _digest(state)
        taken = await service.database.write(lambda tx: store.take_state(tx, digest))
        if taken is None:
            raise AlloydError(Code.UNAUTHORIZED, "state: not valid, used already or expired", field="state")
        org_id, sealed = taken
        kept = _STATE.decode(service.sealer.unseal(sealed, _state_about(digest)))
        if error is not None or not code:
            raise bad_request("the account was not connected: the other side gave no code", "code")
        principal = system_principal(org_id)
        connector = await service.connectors.get(principal, kept.connector)
        auth = connector.definition.find_auth("oauth2")
        if auth is None:
            raise conflict(f"{kept.connector} takes no oauth2 any more")
        grant = {"grant_type": "authorization_code", "code": code, "redirect_uri": kept.redirect_uri}
        if kept.verifier is not None:
            grant["code_verifier"] = kept.verifier
        tokens = await ask(self._outbound, auth, kept.settings, kept.client, grant, service.settings.token_timeout_s)
        data: dict[str, Any] = {"access_token": tokens.access_token, **kept.client}
        more = {"refresh_token": tokens.refresh_token, "scope": tokens.scope}
        data |= {name: value for name, value in more.items() if value is not None}
        now = service.clock.now_ms()
        one = service.make(
            principal,
            kept.connector,
            "oauth2",
            data,
            label=kept.label,
            settings=kept.settings,
            end_user_id=kept.end_user_id,
            expires_at=None if tokens.expires_in_s is None else now + tokens.expires_in_s * 1000,
        )
        one = replace(one, created_by=kept.principal_id)
        return await service.database.write(lambda tx: service.insert(tx, one))

    async def list_clients(self, principal: Principal) -> list[OauthClient]:
        """The organization's clients, by connector, without their secrets."""
        org_id, service = principal.org_id, self._credentials
        rows = await service.database.read(lambda conn: store.list_clients(conn, org_id))
        found = []
        for connector, sealed, updated_at in rows:
            client = _CLIENT.decode(service.sealer.unseal(sealed, client_about(org_id, connector)))
            found.append(OauthClient(org_id, connector, client["client_id"], "client_secret" in client, updated_at))
        return found

    async def delete_client(self, principal: Principal, connector: str) -> None:
        """Forget the organization's client for a connector. What was connected with it goes on, with its own copy.

        Raises ``not_found``. Emits ``oauth_client.deleted``.
        """
        org_id = principal.org_id

        def write(tx: Tx) -> None:
            if not store.delete_client(tx, org_id, connector):
                raise not_found("OAuth client")
            tx.emit(Event(org_id, "oauth_client.deleted", connector, {"connector": connector}))

        await self._credentials.database.write(write)

    async def _client(
        self, principal: Principal, connector: Connector, asked: StartOauth
    ) -> tuple[dict[str, str], bool]:
        if asked.client_id is not None:
            client = {"client_id": asked.client_id}
            if asked.client_secret is not None:
                client["client_secret"] = asked.client_secret
            for name, value in client.items():
                if not value or len(value) > VALUE_CHARS_MAX or not value.isprintable():
                    raise bad_request(f"{name}: is no {name.replace('_', ' ')}", name)
            return client, True
        if asked.client_secret is not None:
            raise bad_request("client_id: goes with client_secret", "client_id")
        org_id, service = principal.org_id, self._credentials
        sealed = await service.database.read(lambda conn: store.find_client(conn, org_id, connector.name))
        if sealed is None:
            raise bad_request(f"client_id: is required: no client is known for {connector.name}", "client_id")
        return _CLIENT.decode(service.sealer.unseal(sealed, client_about(org_id, connector.name))), False


def check_redirect(uri: str) -> str:
    """``uri`` itself. Raises ``bad_request`` unless it is https, or http on the caller's own machine."""
    if len(uri) > REDIRECT_CHARS_MAX:
        raise bad_request(f"redirect_uri: at most {REDIRECT_CHARS_MAX} characters", "redirect_uri")
    try:
        target = parse_target(uri)
    except EgressError as error:
        raise bad_request(f"redirect_uri: {error.message}", "redirect_uri") from None
    if "#" in uri:
        raise bad_request("redirect_uri: has no fragment", "redirect_uri")
    if target.url.scheme != "https" and target.host not in _LOOPBACK:
        raise bad_request("redirect_uri: https is wanted, or http on this machine", "redirect_uri")
    return uri


def client_about(org_id: str, connector: str) -> str:
    """What a client's sealed text is bound to."""
    return f"{org_id}/oauth_clients/{connector}"


def _authorize_url(auth: Auth, kept: _State, scopes: tuple[str, ...] | None, state: str) -> str:
    asked: dict[str, str] = {
        "response_type": "code",
        "client_id": kept.client["client_id"],
        "redirect_uri": kept.redirect_uri,
        "state": state,
    }
    wanted = auth.scopes if scopes is None else scopes
    if wanted:
        asked["scope"] = auth.scope_separator.join(wanted)
    if kept.verifier is not None:
        digest = hashlib.sha256(kept.verifier.encode()).digest()
        asked["code_challenge"] = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        asked["code_challenge_method"] = "S256"
    url = fill_url(auth.authorize_url or "", kept.settings)
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(_merged(asked, auth.authorize_params))}"


def _merged(asked: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    return {**more, **asked}


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()


def _state_about(digest: str) -> str:
    return f"oauth_states/{digest}"
