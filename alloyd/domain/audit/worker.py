"""The loop that writes refusals down, a little after they were answered."""

from __future__ import annotations

import asyncio

from alloyd.domain.audit.service import AuditService
from alloyd.errors import AlloydError
from alloyd.log import get_logger

log = get_logger("alloyd.audit")

FLUSH_PAUSE_S = 1.0
_FAILED = "refusals can't be written to the audit trail"


class AuditWorker:
    """One for the daemon."""

    def __init__(self, audit: AuditService) -> None:
        self._audit = audit

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await asyncio.sleep(FLUSH_PAUSE_S)
            await self.turn()

    async def turn(self) -> None:
        """Write what waits. A disk that is full or fails is told in the log, and the refusals wait on."""
        try:
            await self._audit.write_refusals()
        except AlloydError as error:
            log.error(_FAILED, reason=error.log or error.message)

    async def stop(self) -> None:
        """Write what is left, at the daemon's end."""
        try:
            await self._audit.close()
        except AlloydError as error:
            log.error(_FAILED, reason=error.log or error.message)
