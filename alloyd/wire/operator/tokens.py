"""`/operator/tokens`: a token for a user, without the password."""

from __future__ import annotations

import msgspec

from alloyd.domain.sessions.service import SessionService
from alloyd.wire.identity import TokenJson, token_json
from alloyd.wire.route import OPERATOR, Call, Route


class IssueTokenBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose token (id or e-mail), where it acts (id or slug), and how long it lives, in seconds."""

    user: str
    organization: str | None = None
    ttl_s: int | None = None


def routes(sessions: SessionService) -> list[Route]:
    """The routes of this file."""

    async def post_token(call: Call) -> TokenJson:
        """`alloyd token issue`."""
        body: IssueTokenBody = call.body
        return token_json(await sessions.issue(body.user, body.organization, body.ttl_s))

    return [
        Route(
            "POST",
            "/tokens",
            post_token,
            OPERATOR,
            "Issue a token for a user",
            body=IssueTokenBody,
            output=TokenJson,
            status=201,
            statuses=(404, 409),
            audit_as="auth.issue_token",
        )
    ]
