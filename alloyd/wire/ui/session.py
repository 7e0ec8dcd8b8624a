"""`/ui/session`, `/ui/password` and `/ui/setup`: the page's session, and the first user of an installation."""

from __future__ import annotations

from typing import Annotated

import msgspec

from alloyd import __version__
from alloyd.domain.orgs.service import OrgService
from alloyd.domain.sessions.model import EMAIL_CHARS_MAX, PASSWORD_CHARS_MAX, IssuedToken, Use
from alloyd.domain.sessions.service import SessionService
from alloyd.domain.setup.service import SetupService
from alloyd.domain.users.service import UserService
from alloyd.errors import AlloydError
from alloyd.principal import ACTIONS, Principal
from alloyd.wire.address import caller_address
from alloyd.wire.auth import unauthorized
from alloyd.wire.route import PUBLIC, SIGNED_IN, Call, Route
from alloyd.wire.ui.cookie import drop_cookie, read_cookie, set_cookie
from alloyd.wire.ui.origin import OriginRule

Password = Annotated[str, msgspec.Meta(max_length=PASSWORD_CHARS_MAX)]
Email = Annotated[str, msgspec.Meta(max_length=EMAIL_CHARS_MAX)]
_TOKEN_CHARS_MAX = 200
_NAME_CHARS_MAX = 1000  # the domain says which of these are names


class SignInBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who signs in, and in which organization; else in the one that was joined first."""

    email: Email
    password: Password
    organization: str | None = None

    def __repr__(self) -> str:
        return "SignInBody()"


class SetUpBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first user; `token` is from the set-up link."""

    token: Annotated[str, msgspec.Meta(max_length=_TOKEN_CHARS_MAX)]
    email: Email
    password: Password
    display_name: Annotated[str, msgspec.Meta(max_length=_NAME_CHARS_MAX)] | None = None

    def __repr__(self) -> str:
        return "SetUpBody()"


class PasswordBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The user's password as it is, and as it shall be."""

    current_password: Password
    new_password: Password

    def __repr__(self) -> str:
        return "PasswordBody()"


class RenewBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In which of the user's organizations the session acts from now on; with none, it only lasts longer."""

    organization_id: str | None = None


class SignOutQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whether only this session ends, or whatever the user is signed in with, tokens too."""

    everywhere: bool = False


class SessionOrganizationJson(msgspec.Struct, frozen=True, kw_only=True):
    """One of the user's organizations."""

    id: str
    slug: str
    name: str
    role: str


class SessionJson(msgspec.Struct, frozen=True, kw_only=True):
    """What the page knows of who uses it; `actions` are those that the user may do where the session acts."""

    user_id: str
    email: str
    display_name: str
    platform_admin: bool
    organization_id: str | None
    role: str | None
    actions: tuple[str, ...]
    organizations: tuple[SessionOrganizationJson, ...]
    version: str
    expires_in_s: int


class StateJson(msgspec.Struct, frozen=True, kw_only=True):
    """What a visitor without a session sees: whether there is anybody who could sign in."""

    setup_due: bool
    version: str


class SignedOutJson(msgspec.Struct, frozen=True, kw_only=True):
    """The session has ended."""

    signed_out: bool


class PageSessions:
    """The handlers of this file."""

    def __init__(
        self,
        sessions: SessionService,
        setup: SetupService,
        users: UserService,
        orgs: OrgService,
        origin: OriginRule,
    ) -> None:
        self._sessions = sessions
        self._setup = setup
        self._users = users
        self._orgs = orgs
        self._origin = origin

    async def sign_in(self, call: Call) -> SessionJson:
        """`POST /ui/session`."""
        self._origin.check(call.request)
        body: SignInBody = call.body
        org_id = await self._find_named(body.organization)
        issued = await self._sessions.sign_in(body.email, body.password, org_id, caller_address(call.request), Use.PAGE)
        return await self._begin(call, issued)

    async def _find_named(self, name: str | None) -> str | None:
        """The id of an organization, which the sign-in then looks for among the user's own."""
        if not name:
            return None
        try:
            return (await self._orgs.get_by_name(name)).id
        except AlloydError:
            return name  # nobody's: whether it exists is told only to who signs in

    async def set_up(self, call: Call) -> SessionJson:
        """`POST /ui/setup`."""
        self._origin.check(call.request)
        body: SetUpBody = call.body
        address = caller_address(call.request)
        name = (body.display_name or "").strip() or None
        await self._setup.make_first_user(body.token, body.email, body.password, name, address)
        return await self._begin(call, await self._sessions.sign_in(body.email, body.password, None, address, Use.PAGE))

    async def get_state(self, call: Call) -> StateJson:
        """`GET /ui/state`."""
        self._origin.check(call.request)
        return StateJson(setup_due=await self._setup.is_due(), version=__version__)

    async def get_session(self, call: Call) -> SessionJson:
        """`GET /ui/session`."""
        return await self._describe(call.who)

    async def renew(self, call: Call) -> SessionJson:
        """`PATCH /ui/session`."""
        body: RenewBody = call.body
        issued = await self._sessions.renew(call.who, read_cookie(call.request) or "", body.organization_id)
        return await self._begin(call, issued)

    async def change_password(self, call: Call) -> SessionJson:
        """`PATCH /ui/password`: all else that the user is signed in with ends, this session goes on."""
        body: PasswordBody = call.body
        token, address = read_cookie(call.request) or "", caller_address(call.request)
        issued = await self._sessions.change_password(
            call.who, token, body.current_password, body.new_password, address, Use.PAGE
        )
        return await self._begin(call, issued)

    async def sign_out(self, call: Call) -> SignedOutJson:
        """`DELETE /ui/session`."""
        query: SignOutQuery = call.query
        token = read_cookie(call.request) or ""
        await self._sessions.sign_out(call.who, token, everywhere=query.everywhere, use=Use.PAGE)
        drop_cookie(call, secure=self._origin.is_secure(call.request))
        return SignedOutJson(signed_out=True)

    async def _begin(self, call: Call, issued: IssuedToken) -> SessionJson:
        set_cookie(call, issued, secure=self._origin.is_secure(call.request))
        principal = await self._sessions.authenticate(issued.token, Use.PAGE)
        if principal is None:  # the user was disabled this very moment
            raise unauthorized()
        call.principal = principal
        return await self._describe(principal)

    async def _describe(self, who: Principal) -> SessionJson:
        user = await self._users.get_by_name(who.id)
        roles = {standing.org_id: standing.role.value for standing in who.standings}
        found = await self._orgs.list_of(list(roles))
        return SessionJson(
            user_id=user.id,
            email=user.email,
            display_name=user.display_name,
            platform_admin=user.platform_admin,
            organization_id=who.org_id or None,
            role=who.role.value if who.org_id else None,
            actions=tuple(sorted(action for action in ACTIONS if who.may(action))),
            organizations=tuple(
                SessionOrganizationJson(id=org.id, slug=org.slug, name=org.name, role=roles[org.id]) for org in found
            ),
            version=__version__,
            expires_in_s=self._sessions.seconds_left(who),
        )


def routes(page: PageSessions) -> list[Route]:
    """The routes of this file."""
    return [
        Route("GET", "/state", page.get_state, PUBLIC, "Whether the first user is yet to be made", output=StateJson),
        Route(
            "POST",
            "/setup",
            page.set_up,
            PUBLIC,
            "Make the first user",
            body=SetUpBody,
            output=SessionJson,
            status=201,
            statuses=(403, 409, 429),
            audit_as="installation.set_up",
        ),
        Route(
            "POST",
            "/session",
            page.sign_in,
            PUBLIC,
            "Sign in to the page",
            body=SignInBody,
            output=SessionJson,
            status=201,
            statuses=(401, 403, 404, 429),
            audit_as="auth.sign_in",
        ),
        Route("GET", "/session", page.get_session, SIGNED_IN, "Who uses the page", output=SessionJson),
        Route(
            "PATCH",
            "/session",
            page.renew,
            SIGNED_IN,
            "Act in another organization, or stay signed in",
            body=RenewBody,
            output=SessionJson,
            statuses=(404,),
            mutates=False,
        ),
        Route(
            "PATCH",
            "/password",
            page.change_password,
            SIGNED_IN,
            "Change the user's own password",
            body=PasswordBody,
            output=SessionJson,
            statuses=(403, 409, 429),
            audit_as="user.change_password",
        ),
        Route(
            "DELETE",
            "/session",
            page.sign_out,
            SIGNED_IN,
            "Sign out of the page",
            query=SignOutQuery,
            output=SignedOutJson,
            audit_as="auth.sign_out",
        ),
    ]
