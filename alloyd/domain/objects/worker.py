"""Removes from the bucket what no object names any more."""

from __future__ import annotations

import asyncio

from alloyd.domain.objects.s3 import S3Backend
from alloyd.errors import AlloydError
from alloyd.log import get_logger

log = get_logger("alloyd.objects")


class ObjectSweeper:
    """One for the daemon; without a bucket it has nothing to do. :meth:`wake` says that there is something."""

    def __init__(self, interval_s: float) -> None:
        self.bucket: S3Backend | None = None
        self._interval_s = interval_s
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """There is something to remove."""
        self._awake.set()

    async def run(self) -> None:
        """For ever: first what an earlier process left, then whenever woken, and every ``interval_s``.

        A bucket that can't be used is told at once, not at the first file; alloyd goes on without it meanwhile.
        """
        if self.bucket is not None:
            try:
                await self.bucket.probe()
            except AlloydError as error:
                log.error("objects can not be kept in the bucket now", reason=error.message, store=error.log)
        while True:
            self._awake.clear()
            try:
                if self.bucket is not None:
                    await self.bucket.sweep()
            except AlloydError as error:  # the bucket can't be reached: again at the next round
                log.error("sweeping objects failed", reason=error.log or error.message)
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._awake.wait()
            except TimeoutError:
                continue
