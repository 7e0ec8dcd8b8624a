"""`/v1/credentials`: accounts at other applications. What they hold goes in, and never comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from alloyd.domain.credentials.model import (
    END_USER_ID_CHARS_MAX,
    LABEL_CHARS_MAX,
    ChangeCredential,
    CreateCredential,
    Credential,
    CredentialFilter,
    StartOauth,
)
from alloyd.domain.credentials.oauth import CODE_CHARS_MAX, REDIRECT_CHARS_MAX, OauthService
from alloyd.domain.credentials.service import CredentialService
from alloyd.errors import bad_request
from alloyd.kit.clock import Clock, parse_rfc3339, rfc3339
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.fields import Filter, IdempotencyKey, Time, line, told
from alloyd.wire.idempotency import read_once
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import PUBLIC, Call, FindOwner, Route

_SECRET_FIELDS = ("data",)

Label = Annotated[str, line(LABEL_CHARS_MAX)]
EndUserId = Annotated[str, line(END_USER_ID_CHARS_MAX)]
Kind = Literal["api_key", "bearer", "basic", "oauth2"]
Data = Annotated[
    dict[str, str],
    Meta(
        description="api_key: {api_key}; bearer: {token}; basic: {username, password}; oauth2: {access_token, "
        "refresh_token, client_id, client_secret, scope}. Sealed at once, and never shown."
    ),
    told(writeOnly=True),
]


class CreateCredentialBody(msgspec.Struct, frozen=True, kw_only=True):
    """A new credential. Without `end_user_id` it is the organization's own; `label` is the connector's title unless
    given; `settings` are what the connector asks for besides, such as a shop's name."""

    connector: str
    kind: Kind
    data: Data
    label: Label | None = None
    settings: dict[str, str] = msgspec.field(default_factory=dict)
    end_user_id: EndUserId | None = None
    expires_at: Time | None = None
    organization_id: str | None = None
    idempotency_key: IdempotencyKey | None = None


class ChangeCredentialBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different; what is not there stays. New `settings` need the `data` again."""

    label: Label | UnsetType = UNSET
    data: Data | UnsetType = UNSET
    settings: dict[str, str] | UnsetType = UNSET
    expires_at: Time | UnsetType | None = UNSET


class StartOauthBody(msgspec.Struct, frozen=True, kw_only=True):
    """An account to be connected. The client is remembered, sealed: the next time it need not be given."""

    connector: str
    redirect_uri: Annotated[str, told(format="uri", maxLength=REDIRECT_CHARS_MAX)]
    client_id: str | None = None
    client_secret: Annotated[str, told(writeOnly=True)] | None = None
    label: Label | None = None
    settings: dict[str, str] = msgspec.field(default_factory=dict)
    scopes: tuple[str, ...] | None = None
    end_user_id: EndUserId | None = None
    organization_id: str | None = None


class CallbackQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What the other side's page adds to the redirect."""

    state: Annotated[str, told(maxLength=200)]
    code: Annotated[str, told(maxLength=CODE_CHARS_MAX)] | None = None
    error: str | None = None


class CredentialQuery(PageQuery, frozen=True, kw_only=True):
    """The query of the list."""

    organization_id: str | None = None
    connector: Filter | None = None
    end_user_id: Filter | None = None


class CredentialJson(msgspec.Struct, frozen=True, kw_only=True):
    """A credential without what it holds. `expires_at` is its access token's; `fault` why the last refresh failed."""

    id: str
    organization_id: str
    end_user_id: str | None
    connector: str
    kind: str
    label: str
    settings: dict[str, str]
    status: Literal["ok", "expired", "failed"]
    fault: str | None
    expires_at: str | None
    refreshable: bool
    last_used_at: str | None
    created_by: str
    created_at: str
    updated_at: str


class StartedOauth(msgspec.Struct, frozen=True):
    """Where the account's owner goes, and the state that comes back; used once, until `expires_at`."""

    authorize_url: str
    state: str
    expires_at: str


class OauthClientQuery(msgspec.Struct, frozen=True):
    """Whose clients."""

    organization_id: str | None = None


class OauthClientJson(msgspec.Struct, frozen=True):
    """The organization's client at one application; its secret is never shown."""

    connector: str
    organization_id: str
    client_id: str
    has_secret: bool
    updated_at: str


class DeletedOauthClient(msgspec.Struct, frozen=True):
    """The connector whose client is gone."""

    connector: str


class ConnectedJson(msgspec.Struct, frozen=True):
    """What became of the code; this is shown to whoever's browser came back."""

    id: str
    connector: str
    label: str
    status: str


class DeletedCredential(msgspec.Struct, frozen=True):
    """The id of what is gone."""

    id: str


class Credentials:
    """The handlers of `/v1/credentials`."""

    def __init__(self, credentials: CredentialService, oauth: OauthService, clock: Clock, limits: PageLimits) -> None:
        self._credentials = credentials
        self._oauth = oauth
        self._clock = clock
        self._pager = Pager("credentials", limits, str)

    async def post_credential(self, call: Call) -> CredentialJson:
        """Embedded contract: "Connectors", credentials."""
        body: CreateCredentialBody = call.body
        organization_of(call, body.organization_id)
        new = CreateCredential(
            body.connector,
            body.kind,
            body.data,
            body.label,
            body.settings,
            body.end_user_id,
            _time_of(body.expires_at),
        )
        once = read_once(call, body.idempotency_key, leave_out=_SECRET_FIELDS)
        return self._json(await self._credentials.create(call.who, new, once))

    async def list_credentials(self, call: Call) -> Sequence[CredentialJson]:
        """Newest first, without what they hold."""
        query: CredentialQuery = call.query
        organization_of(call, query.organization_id)
        page = self._pager.read(query)
        wanted = CredentialFilter(query.connector, query.end_user_id)
        before = page.after[0] if page.after else None
        found = await self._credentials.list_page(call.who, wanted, before, page.fetch)
        return [self._json(one) for one in self._pager.cut(call, page, found, lambda one: (one.id,))]

    async def get_credential(self, call: Call) -> CredentialJson:
        """One credential, without what it holds."""
        return self._json(await self._credentials.get(call.who, call.param("id")))

    async def patch_credential(self, call: Call) -> CredentialJson:
        """Another label, or other content."""
        body: ChangeCredentialBody = call.body
        ends = body.expires_at if isinstance(body.expires_at, UnsetType) else _time_of(body.expires_at)
        change = ChangeCredential(body.label, body.data, body.settings, ends)
        return self._json(await self._credentials.update(call.who, call.param("id"), change))

    async def delete_credential(self, call: Call) -> DeletedCredential:
        """Forget a credential."""
        await self._credentials.delete(call.who, call.param("id"))
        return DeletedCredential(call.param("id"))

    async def start_oauth(self, call: Call) -> StartedOauth:
        """The authorization code grant with PKCE: its beginning."""
        body: StartOauthBody = call.body
        organization_of(call, body.organization_id)
        asked = StartOauth(
            body.connector,
            body.redirect_uri,
            body.client_id,
            body.client_secret,
            body.label,
            body.settings,
            body.scopes,
            body.end_user_id,
        )
        url, state, expires_at = await self._oauth.start(call.who, asked)
        return StartedOauth(url, state, rfc3339(expires_at))

    async def finish_oauth(self, call: Call) -> ConnectedJson:
        """The authorization code grant: its end. The state is the credential of this request."""
        query: CallbackQuery = call.query
        if len(query.code or "") > CODE_CHARS_MAX:
            raise bad_request(f"code: at most {CODE_CHARS_MAX} characters", "code")
        one = await self._oauth.finish(query.state, query.code, query.error)
        return ConnectedJson(one.id, one.connector, one.label, one.status)

    async def list_clients(self, call: Call) -> list[OauthClientJson]:
        """By connector; never their secrets."""
        query: OauthClientQuery = call.query
        organization_of(call, query.organization_id)
        return [
            OauthClientJson(one.connector, one.org_id, one.client_id, one.has_secret, rfc3339(one.updated_at))
            for one in await self._oauth.list_clients(call.who)
        ]

    async def delete_client(self, call: Call) -> DeletedOauthClient:
        """Forget the client; what was connected with it goes on."""
        query: OauthClientQuery = call.query
        organization_of(call, query.organization_id)
        await self._oauth.delete_client(call.who, call.param("connector"))
        return DeletedOauthClient(call.param("connector"))

    def _json(self, one: Credential) -> CredentialJson:
        return credential_json(one, self._clock.now_ms())


def credential_json(one: Credential, now_ms: int) -> CredentialJson:
    """``one`` on the wire."""
    members: dict[str, Any] = {
        "id": one.id,
        "organization_id": one.org_id,
        "end_user_id": one.end_user_id,
        "connector": one.connector,
        "kind": one.kind,
        "label": one.label,
        "settings": one.settings,
        "status": one.status_at(now_ms),
        "fault": one.fault,
        "expires_at": _told(one.expires_at),
        "refreshable": one.refreshable,
        "last_used_at": _told(one.last_used_at),
        "created_by": one.created_by,
        "created_at": rfc3339(one.created_at),
        "updated_at": rfc3339(one.updated_at),
    }
    return CredentialJson(**members)


def _told(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def _time_of(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise bad_request("expires_at: an RFC 3339 time is wanted", "expires_at") from None


def routes(credentials: CredentialService, oauth: OauthService, clock: Clock, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    api = Credentials(credentials, oauth, clock, limits)
    return [*_routes_of_oauth(api), *_routes_of_all(api), *_routes_of_one(api, credentials.find_organization)]


def _routes_of_oauth(api: Credentials) -> list[Route]:
    return [
        Route(
            "POST",
            "/credentials/oauth/start",
            api.start_oauth,
            "credential.write",
            "Begin to connect an account by OAuth 2",
            body=StartOauthBody,
            output=StartedOauth,
            statuses=(404, 409),
        ),
        Route(
            "GET",
            "/credentials/oauth/callback",
            api.finish_oauth,
            PUBLIC,
            "Where the other side's page leads back to; the state is the credential",
            query=CallbackQuery,
            output=ConnectedJson,
            statuses=(401, 404, 409, 502),
            audit_as="credential.connect",
        ),
        Route(
            "GET",
            "/credentials/oauth/clients",
            api.list_clients,
            "credential.read",
            "The organization's OAuth clients, by connector, without their secrets",
            query=OauthClientQuery,
            output=list[OauthClientJson],
            statuses=(404,),
        ),
        Route(
            "DELETE",
            "/credentials/oauth/clients/{connector}",
            api.delete_client,
            "credential.write",
            "Forget the organization's OAuth client for a connector",
            query=OauthClientQuery,
            output=DeletedOauthClient,
            statuses=(404,),
        ),
    ]


def _routes_of_all(api: Credentials) -> list[Route]:
    return [
        Route(
            "POST",
            "/credentials",
            api.post_credential,
            "credential.write",
            "Make a credential; what it holds is sealed and never shown",
            body=CreateCredentialBody,
            output=CredentialJson,
            status=201,
            statuses=(404, 409),
        ),
        Route(
            "GET",
            "/credentials",
            api.list_credentials,
            "credential.read",
            "The credentials of the organization and its end users",
            query=CredentialQuery,
            output=list[CredentialJson],
            statuses=(404,),
        ),
    ]


def _routes_of_one(api: Credentials, owner: FindOwner) -> list[Route]:
    one = "/credentials/{id}"
    return [
        Route(
            "GET",
            one,
            api.get_credential,
            "credential.read",
            "One credential, without what it holds",
            output=CredentialJson,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "PATCH",
            one,
            api.patch_credential,
            "credential.write",
            "Change a credential's label or content",
            body=ChangeCredentialBody,
            output=CredentialJson,
            statuses=(404, 409),
            owner=owner,
        ),
        Route(
            "DELETE",
            one,
            api.delete_credential,
            "credential.write",
            "Delete a credential",
            output=DeletedCredential,
            statuses=(404,),
            owner=owner,
        ),
    ]
