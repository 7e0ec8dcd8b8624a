"""`/v1/auth/token`, `/v1/auth/revoke` and `/v1/me/password`: sign in with a password, sign out, change it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from alloyd.domain.sessions.model import EMAIL_CHARS_MAX, PASSWORD_CHARS_MAX
from alloyd.domain.sessions.service import SessionService
from alloyd.wire.address import caller_address
from alloyd.wire.auth import read_bearer
from alloyd.wire.identity import TokenJson, token_json
from alloyd.wire.route import PUBLIC, SIGNED_IN, Call, Route


class SignInBody(msgspec.Struct, frozen=True, kw_only=True):
    """Who signs in. The token acts in `organization_id`, else in the organization that was joined first."""

    email: Annotated[str, msgspec.Meta(max_length=EMAIL_CHARS_MAX)]
    password: Annotated[str, msgspec.Meta(max_length=PASSWORD_CHARS_MAX)]
    organization_id: str | None = None

    def __repr__(self) -> str:
        return "SignInBody()"


class SignOutBody(msgspec.Struct, frozen=True, kw_only=True):
    """Whether all of the user's tokens end, or only the one that was sent."""

    everywhere: bool = False


class ChangePasswordBody(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's password as it is, and as it shall be."""

    current_password: Annotated[str, msgspec.Meta(max_length=PASSWORD_CHARS_MAX)]
    new_password: Annotated[str, msgspec.Meta(max_length=PASSWORD_CHARS_MAX)]

    def __repr__(self) -> str:
        return "ChangePasswordBody()"


class SignedOutJson(msgspec.Struct, frozen=True, kw_only=True):
    """What ended."""

    everywhere: bool


class Sessions:
    """The handlers of this file."""

    def __init__(self, sessions: SessionService) -> None:
        self._sessions = sessions

    async def post_token(self, call: Call) -> TokenJson:
        """Control contract: `POST /v1/auth/token`."""
        body: SignInBody = call.body
        address = caller_address(call.request)
        return token_json(await self._sessions.sign_in(body.email, body.password, body.organization_id, address))

    async def revoke_token(self, call: Call) -> SignedOutJson:
        """`POST /v1/auth/revoke`: sign out."""
        body: SignOutBody = call.body
        await self._sessions.sign_out(call.who, read_bearer(call.request) or "", everywhere=body.everywhere)
        return SignedOutJson(everywhere=body.everywhere)

    async def patch_password(self, call: Call) -> TokenJson:
        """`PATCH /v1/me/password`."""
        body: ChangePasswordBody = call.body
        token, address = read_bearer(call.request) or "", caller_address(call.request)
        return token_json(
            await self._sessions.change_password(call.who, token, body.current_password, body.new_password, address)
        )


def routes(sessions: SessionService) -> list[Route]:
    """The routes of this file."""
    api = Sessions(sessions)
    return [
        Route(
            "POST",
            "/auth/token",
            api.post_token,
            PUBLIC,
            "Sign in with e-mail and password",
            body=SignInBody,
            output=TokenJson,
            statuses=(401, 404, 429),
            audit_as="auth.sign_in",
        ),
        Route(
            "POST",
            "/auth/revoke",
            api.revoke_token,
            SIGNED_IN,
            "Sign out: end the token that is sent, or all of the user's, at once",
            body=SignOutBody,
            output=SignedOutJson,
            statuses=(403,),
            audit_as="auth.sign_out",
        ),
        Route(
            "PATCH",
            "/me/password",
            api.patch_password,
            SIGNED_IN,
            "Change the caller's own password; other tokens end at once, this session goes on with the answered one",
            body=ChangePasswordBody,
            output=TokenJson,
            statuses=(403, 409, 429),
            audit_as="user.change_password",
        ),
    ]
