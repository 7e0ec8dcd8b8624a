"""``/integrations`` of the embedded contract: what an end user can have, and whether it has it."""

from __future__ import annotations

import msgspec

from alloyd.domain.integrations.installations import InstallationService
from alloyd.wire.embedded.codec import in_its_words
from alloyd.wire.embedded.credentials import user_of
from alloyd.wire.embedded.dialect import Dialect
from alloyd.wire.route import Call, Route


class UserQueryTold(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whom a request is about, by id or username. A backend has to name the user; a token is its user's."""

    user_id: str


class UserQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """:class:`UserQueryTold` as it is read."""

    user_id: str | None = None


def routes(installations: InstallationService, dialect: Dialect) -> list[Route]:
    """The route ``/integrations`` (embedded contract: Operations)."""

    async def list_integrations(call: Call) -> object:
        return dialect.integrations.make(
            await installations.list_integrations(call.who, user_of(call, call.query.user_id))
        )

    return [
        Route(
            "GET",
            "/integrations",
            in_its_words(list_integrations),
            "integration.read",
            "List all integrations, each with whether the end user has it",
            query=UserQuery,
            query_told=UserQueryTold,
            output=dialect.integrations.output,
            statuses=(404,),
        )
    ]
