"""Keeps the disk from ever being full."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass

from alloyd.config import LiveConfig
from alloyd.errors import AlloydError, Code


@dataclass(slots=True)
class DiskGuard:
    """Refuses new work while the disk is nearly full, so that it never is. Looks at most once a second."""

    path: str
    live: LiveConfig
    _looked_at: float = 0.0
    _free_bytes: int = 1 << 62
    _total_bytes: int = 1 << 62

    @property
    def free_bytes(self) -> int:
        """Bytes free on the data directory's disk, as of a second ago at most."""
        self._look()
        return self._free_bytes

    @property
    def total_bytes(self) -> int:
        """How large that disk is."""
        self._look()
        return self._total_bytes

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at > 1.0:
            self._looked_at = now
            usage = shutil.disk_usage(self.path)
            self._free_bytes, self._total_bytes = usage.free, usage.total

    def check(self) -> None:
        """Raises ``unavailable`` below ``data.disk_free_bytes_min``."""
        if self.free_bytes < self.live.current.data.disk_free_bytes_min:
            raise AlloydError(Code.UNAVAILABLE, "nothing was stored: the disk is nearly full", retry_after_s=30)
