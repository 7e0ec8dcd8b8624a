"""`/operator/storage`: how much the organization that the operator's header names has stored."""

from __future__ import annotations

import msgspec

from alloyd.domain.storage.service import StorageService
from alloyd.wire.route import OPERATOR, Call, Route


class UsageJson(msgspec.Struct, frozen=True):
    """Files and the bytes in them; what was deleted counts until it has been taken away."""

    bytes: int
    files: int


def routes(storage: StorageService) -> list[Route]:
    """The routes of this file."""

    async def show_usage(call: Call) -> UsageJson:
        """`alloyd storage usage`."""
        usage = await storage.usage(call.who)
        return UsageJson(usage.bytes, usage.files)

    return [Route("GET", "/storage/usage", show_usage, OPERATOR, "What an organization stores", output=UsageJson)]
