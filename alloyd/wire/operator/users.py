"""`/operator/users`: every user of this installation."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from alloyd.domain.orgs.model import DEFAULT_SLUG
from alloyd.domain.users.service import CreateUser, UserService
from alloyd.principal import Role
from alloyd.wire.idempotency import read_once
from alloyd.wire.identity import UserJson, user_json
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import OPERATOR, Call, Route


class CreateUserBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new user, member of one organization (its id or slug)."""

    email: str
    password: str
    organization: str = DEFAULT_SLUG
    role: Role = Role.MEMBER
    platform_admin: bool = False
    display_name: str | None = None
    idempotency_key: str | None = None

    def __repr__(self) -> str:
        return f"CreateUserBody(email={self.email!r})"


class PasswordBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new password."""

    password: str

    def __repr__(self) -> str:
        return "PasswordBody()"


class UserQuery(PageQuery, frozen=True, kw_only=True):
    """The query of the list: of one organization, by id or slug, or of all."""

    organization: str | None = None


class Users:
    """The handlers of `/operator/users`; `{id}` is an id or e-mail."""

    def __init__(self, users: UserService, limits: PageLimits) -> None:
        self._users = users
        self._pager = Pager("users", limits, str)

    async def post_user(self, call: Call) -> UserJson:
        """`alloyd user create`."""
        body: CreateUserBody = call.body
        # A fast hash of a password must not be stored, so a repeat may differ in it.
        once = read_once(call, body.idempotency_key, leave_out=("password",))
        new = CreateUser(
            email=body.email,
            password=body.password,
            organization=body.organization,
            role=body.role,
            platform_admin=body.platform_admin,
            display_name=body.display_name,
        )
        return user_json(await self._users.create(new, once))

    async def list_users(self, call: Call) -> Sequence[UserJson]:
        """`alloyd user list`: newest first, disabled ones too."""
        query: UserQuery = call.query
        page = self._pager.read(query)
        found = await self._users.list_all(query.organization, page.fetch, page.after[0] if page.after else None)
        kept = self._pager.cut(call, page, found, lambda user: (user.id,))
        return [user_json(user) for user in kept]

    async def set_password(self, call: Call) -> UserJson:
        """`alloyd user passwd`."""
        body: PasswordBody = call.body
        return user_json(await self._users.set_password(call.param("id"), body.password))

    async def disable_user(self, call: Call) -> UserJson:
        """`alloyd user disable`."""
        return user_json(await self._users.disable(call.param("id")))


def routes(users: UserService, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    api = Users(users, limits)
    return [
        Route(
            "POST",
            "/users",
            api.post_user,
            OPERATOR,
            "Make a user",
            body=CreateUserBody,
            output=UserJson,
            status=201,
            statuses=(404, 409),
            audit_as="user.create",
        ),
        Route(
            "GET",
            "/users",
            api.list_users,
            OPERATOR,
            "All users",
            query=UserQuery,
            output=list[UserJson],
            statuses=(404,),
        ),
        Route(
            "POST",
            "/users/{id}/password",
            api.set_password,
            OPERATOR,
            "Set a user's password",
            body=PasswordBody,
            output=UserJson,
            statuses=(404,),
            audit_as="user.set_password",
        ),
        Route(
            "POST",
            "/users/{id}/disable",
            api.disable_user,
            OPERATOR,
            "Shut a user out",
            output=UserJson,
            statuses=(404,),
            audit_as="user.disable",
        ),
    ]
