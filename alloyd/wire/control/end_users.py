"""``/v1/end-users``: for whom an organization runs workflows in its own product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from alloyd.domain.endusers.model import FULL_NAME_CHARS_MAX, USERNAME_CHARS_MAX, EndUser, is_end_user_id
from alloyd.domain.endusers.service import EndUserService
from alloyd.errors import bad_request, not_found
from alloyd.kit.clock import rfc3339
from alloyd.kit.text import LINE_PATTERN, OPTIONAL_LINE_PATTERN
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.fields import Filter, IdempotencyKey, told
from alloyd.wire.idempotency import read_once
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import Call, Route

Username = Annotated[
    str,
    told(
        minLength=1,
        maxLength=USERNAME_CHARS_MAX,
        pattern=LINE_PATTERN,
        description="Unique in the organization; often an e-mail address.",
        **{"not": {"pattern": "^usr_[0-9a-f]{32}$"}},
    ),
]
FullName = Annotated[str, told(maxLength=FULL_NAME_CHARS_MAX, pattern=OPTIONAL_LINE_PATTERN)]


class CreateEndUserBody(msgspec.Struct, frozen=True, kw_only=True):
    """A new end user."""

    username: Username
    full_name: FullName | None = None
    organization_id: str | None = None
    idempotency_key: IdempotencyKey | None = None


class UpdateEndUserBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be changed; what is not named stays, null takes the full name away."""

    username: Username | UnsetType = UNSET
    full_name: FullName | UnsetType | None = UNSET


class EndUserQuery(PageQuery, frozen=True, kw_only=True):
    """The filters of the list: `username` is a whole one, `q` a part of a username or full name."""

    username: Filter | None = None
    q: Filter | None = None
    organization_id: str | None = None


class EndUserJson(msgspec.Struct, frozen=True, kw_only=True):
    """An end user."""

    id: str
    organization_id: str
    username: str
    full_name: str | None
    created_at: str
    updated_at: str


class EndUsers:
    """The handlers of `/v1/end-users`."""

    def __init__(self, users: EndUserService, limits: PageLimits) -> None:
        self._users = users
        self._pager = Pager("end_users", limits, str)

    async def post_user(self, call: Call) -> EndUserJson:
        """`POST /v1/end-users`."""
        body: CreateEndUserBody = call.body
        organization_of(call, body.organization_id)
        once = read_once(call, body.idempotency_key)
        return _json(await self._users.create(call.who, body.username, body.full_name, once))

    async def list_users(self, call: Call) -> Sequence[EndUserJson]:
        """`GET /v1/end-users`, newest first."""
        query: EndUserQuery = call.query
        organization_of(call, query.organization_id)
        if query.q is not None and query.username is not None:
            raise bad_request("q: leave it or username out", "q")
        page = self._pager.read(query)
        after = page.after[0] if page.after else None
        found = await self._users.list_page(call.who, after, page.fetch, query.username, query.q or None)
        return [_json(user) for user in self._pager.cut(call, page, found, lambda user: (user.id,))]

    async def get_user(self, call: Call) -> EndUserJson:
        """`GET /v1/end-users/{id}`."""
        return _json(await self._users.get(call.who, _id(call)))

    async def patch_user(self, call: Call) -> EndUserJson:
        """`PATCH /v1/end-users/{id}`."""
        body: UpdateEndUserBody = call.body
        if body.username is UNSET and body.full_name is UNSET:
            raise bad_request("username or full_name: one of them is needed", "username")
        changed = await self._users.update(call.who, _id(call), username=body.username, full_name=body.full_name)
        return _json(changed)

    async def delete_user(self, call: Call) -> EndUserJson:
        """`DELETE /v1/end-users/{id}`; the answer is who the user was."""
        return _json(await self._users.delete(call.who, _id(call)))


def _id(call: Call) -> str:
    """The id in the path. A username there is nobody: a grant for one user goes by the id."""
    given = call.param("id")
    if not is_end_user_id(given):
        raise not_found("user")
    return given


def _json(user: EndUser) -> EndUserJson:
    return EndUserJson(
        id=user.id,
        organization_id=user.org_id,
        username=user.username,
        full_name=user.full_name,
        created_at=rfc3339(user.created_at),
        updated_at=rfc3339(user.updated_at),
    )


def routes(users: EndUserService, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    api = EndUsers(users, limits)
    one, owner = "/end-users/{id}", users.find_organization
    return [
        Route(
            "POST",
            "/end-users",
            api.post_user,
            "end_user.write",
            "Make an end user",
            body=CreateEndUserBody,
            output=EndUserJson,
            status=201,
            statuses=(404, 409),
        ),
        Route(
            "GET",
            "/end-users",
            api.list_users,
            "end_user.read",
            "List end users, newest first",
            query=EndUserQuery,
            output=list[EndUserJson],
            statuses=(404,),
        ),
        Route(
            "GET",
            one,
            api.get_user,
            "end_user.read",
            "Show an end user",
            output=EndUserJson,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "PATCH",
            one,
            api.patch_user,
            "end_user.write",
            "Give an end user another username, another full name, or both",
            body=UpdateEndUserBody,
            output=EndUserJson,
            statuses=(404, 409),
            owner=owner,
        ),
        Route(
            "DELETE",
            one,
            api.delete_user,
            "end_user.write",
            "Delete an end user: the tokens end and all workflows are uninstalled",
            output=EndUserJson,
            statuses=(404,),
            owner=owner,
        ),
    ]
