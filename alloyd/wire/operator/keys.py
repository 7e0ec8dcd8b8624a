"""`/operator/sealing-key`: the key under which secrets lie in the database."""

from __future__ import annotations

import msgspec

from alloyd.domain.credentials.rotation import KeyRotation
from alloyd.wire.route import OPERATOR, Call, Route


class RotatedJson(msgspec.Struct, frozen=True):
    """The key that seals now, and how many credentials and OAuth clients were sealed anew."""

    key_id: str
    credentials: int


def routes(rotation: KeyRotation) -> list[Route]:
    """The routes of this file."""

    async def rotate(_call: Call) -> RotatedJson:
        """`alloyd credential rotate-key`."""
        rotated = await rotation.rotate()
        return RotatedJson(rotated.key_id, rotated.credentials)

    return [
        Route(
            "POST",
            "/sealing-key/rotate",
            rotate,
            OPERATOR,
            "Seal every secret anew under a new key",
            output=RotatedJson,
            statuses=(409,),
            audit_as="sealing_key.rotate",
        )
    ]
