"""The loop of retention: a round at the start, and one every so often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from alloyd.domain.retention.model import RetentionSettings
from alloyd.domain.retention.service import RetentionService
from alloyd.errors import AlloydError
from alloyd.log import get_logger

log = get_logger("alloyd.retention")


class RetentionWorker:
    """One for the daemon; ``settings().sweep_interval_s`` is asked for anew before each wait."""

    def __init__(self, retention: RetentionService, settings: Callable[[], RetentionSettings]) -> None:
        self._retention = retention
        self._settings = settings
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Look now, not only when the interval is over: the settings changed."""
        self._awake.set()

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            self._awake.clear()
            await self.turn()
            try:
                async with asyncio.timeout(self._settings().sweep_interval_s):
                    await self._awake.wait()
            except TimeoutError:
                continue

    async def turn(self) -> None:
        """One round. A disk that is full or fails is told in the log: the next round goes on where this one ended."""
        try:
            swept = await self._retention.sweep()
        except AlloydError as error:
            log.error("retention failed", reason=error.log or error.message)
            return
        except Exception:  # without its rounds the disk fills up, so the loop goes on
            log.exception("retention failed")
            return
        if swept.anything:
            log.info(
                "deleted what was too old",
                runs=swept.runs,
                events=swept.events,
                idempotency_keys=swept.idempotency_keys,
                usage_records=swept.usage_records,
                audit_rows=swept.audit_rows,
                pages_given_back=swept.pages,
            )
