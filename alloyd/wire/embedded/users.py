"""``/users`` of the embedded contract: end users, their tokens, and the purge of what is known of them."""

from __future__ import annotations

from typing import Annotated

import msgspec

from alloyd.domain.endusers.service import EndUserService
from alloyd.wire.embedded import shapes
from alloyd.wire.embedded.codec import in_its_words
from alloyd.wire.embedded.dialect import Dialect, success, user
from alloyd.wire.idempotency import read_once
from alloyd.wire.route import Call, Route

LIST_LIMIT_MAX = 200
PAGE_MAX = 1_000_000


class UsersQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of the end users, newest first; an empty one is the end."""

    page: Annotated[int, msgspec.Meta(ge=0, le=PAGE_MAX)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIST_LIMIT_MAX)] | None = None


class UserRoutes:
    """The handlers."""

    def __init__(self, end_users: EndUserService, dialect: Dialect) -> None:
        self._end_users = end_users
        self._dialect = dialect

    async def create(self, call: Call) -> object:
        body: shapes.NewUser = call.body
        made = await self._end_users.create(call.who, body.username, body.full_name, read_once(call))
        return self._dialect.created.make(made)

    async def list_page(self, call: Call) -> object:
        query: UsersQuery = call.query
        limit = query.limit or self._dialect.list_limit_default
        found = await self._end_users.list_numbered_page(call.who, query.page, limit)
        return self._dialect.users.make(found)

    async def get(self, call: Call) -> shapes.User:
        return user(await self._end_users.get(call.who, call.param("userId")))

    async def update(self, call: Call) -> shapes.User:
        body: shapes.UserChange = call.body
        changed = await self._end_users.update(
            call.who, call.param("userId"), username=body.username, full_name=body.full_name
        )
        return user(changed)

    async def delete(self, call: Call) -> shapes.Success:
        await self._end_users.delete(call.who, call.param("userId"))
        return success("User deleted")

    async def get_token(self, call: Call) -> shapes.Token:
        return shapes.Token(token=(await self._end_users.issue_token(call.who, call.param("userId"))).token)


def routes(end_users: EndUserService, dialect: Dialect) -> list[Route]:
    """The routes below ``/users`` (embedded contract: Operations)."""
    handlers = UserRoutes(end_users, dialect)
    return [
        Route(
            "POST",
            "/users",
            in_its_words(handlers.create),
            "end_user.write",
            "Create an end user",
            body=shapes.NewUser,
            output=dialect.created.output,
            status=dialect.created.status,
            statuses=(409,),
        ),
        Route(
            "GET",
            "/users",
            in_its_words(handlers.list_page),
            "end_user.read",
            "List end users, newest first",
            query=UsersQuery,
            output=dialect.users.output,
        ),
        Route(
            "GET",
            "/users/{userId}",
            in_its_words(handlers.get),
            "end_user.read",
            "Get an end user by id or username",
            output=shapes.User,
        ),
        Route(
            "PUT",
            "/users/{userId}",
            in_its_words(handlers.update),
            "end_user.write",
            "Change an end user",
            body=shapes.UserChange,
            output=shapes.User,
        ),
        Route(
            "DELETE",
            "/users/{userId}",
            in_its_words(handlers.delete),
            "end_user.write",
            "Delete an end user, with all that it has installed",
            output=shapes.Success,
        ),
        Route(
            "GET",
            "/users/{userId}/token",
            in_its_words(handlers.get_token),
            "end_user.write",
            "Make a short-lived token for an end user's browser",
            output=shapes.Token,
        ),
    ]
