"""Writes down when keys were last used, and ends the streams of those that expire."""

from __future__ import annotations

import asyncio
import contextlib

from alloyd.domain.keys.service import KeyService
from alloyd.errors import AlloydError
from alloyd.kit.clock import Clock
from alloyd.log import get_logger

log = get_logger("alloyd.keys")

_RETRY_S = 1.0


class KeyWorker:
    """A loop that sleeps until the next flush or expiry. ``flush_s`` is ``auth.key_last_used_flush_s``."""

    def __init__(self, keys: KeyService, clock: Clock, flush_s: float = 60.0) -> None:
        self._keys = keys
        self._clock = clock
        self._flush_s = flush_s
        self._flush_at_ms = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running loop."""
        self._flush_at_ms = self._clock.now_ms() + int(self._flush_s * 1000)
        self._task = asyncio.create_task(self._run(), name="keys-worker")

    async def stop(self) -> None:
        """End the loop and write down what is left."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._keys.flush_last_used()

    async def _run(self) -> None:
        while True:
            try:
                wait_s = await self.turn()
            except AlloydError as error:  # a full disk: the uses are kept in memory
                log.warning("keys: not written down", reason=error.message)
                wait_s = _RETRY_S
            except Exception:  # a dead loop would leave the streams of expired keys open
                log.exception("keys: the worker failed and goes on")
                wait_s = _RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._keys.changed.wait()

    async def turn(self) -> float:
        """Do what is due now; seconds until there is more to do."""
        self._keys.changed.clear()
        next_expiry = await self._keys.end_expired()
        now = self._clock.now_ms()
        if now >= self._flush_at_ms or self._keys.flush_is_due:
            await self._keys.flush_last_used()
            self._flush_at_ms = now + int(self._flush_s * 1000)
        due = self._flush_at_ms if next_expiry is None else min(self._flush_at_ms, next_expiry)
        return max(0.0, (due - now) / 1000)
