"""Which starts an organization's bounds let through: how many runs are queued, and how many come in a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import Clock


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Bounds; the configuration's group ``engine``. 0 starts a second means no limit."""

    queued_per_org_max: int = 1_000_000
    starts_per_s_per_org: int = 0
    run_deadline_ms: int = 7 * 24 * 3600 * 1000


@dataclass(slots=True)
class _Bucket:
    """Starts that an organization may still make: refilled each second up to one second's worth."""

    tokens: float
    seen_ms: int = field(default=0)


class Admission:
    """Lets starts through. ``queued_of(org_id)`` is how many runs of an organization have not begun."""

    def __init__(
        self,
        clock: Clock,
        settings: RunSettings,
        disk_guard: Callable[[], None],
        queued_of: Callable[[str], int],
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._disk_guard = disk_guard
        self._queued_of = queued_of
        self._buckets: dict[str, _Bucket] = {}
        self.coming: dict[str, set[str]] = {}  # by organization: runs admitted, but not in the engine's queue yet

    def admit(self, org_id: str, run_id: str) -> AlloydError | None:
        """Why the organization's bounds refuse one more run; None when it may come, and is counted from now on."""
        try:
            self._disk_guard()
        except AlloydError as error:
            return error
        coming = self.coming.setdefault(org_id, set())
        if self._queued_of(org_id) + len(coming) >= self.settings.queued_per_org_max:
            return self._queue_is_full()
        refusal = self._take_token(org_id)
        if refusal is None:
            coming.add(run_id)
        return refusal

    def check_room(self, org_id: str) -> None:
        """For what alloyd starts by itself, which is not held to the rate. Raises ``unavailable``, ``rate_limited``."""
        self._disk_guard()
        if self._queued_of(org_id) >= self.settings.queued_per_org_max:
            raise self._queue_is_full()

    def forget_coming(self, org_id: str, run_id: str) -> None:
        """The run is in the engine's queue, or did not come."""
        coming = self.coming.get(org_id)
        if coming is not None:
            coming.discard(run_id)
            if not coming:
                del self.coming[org_id]

    def give_back(self, org_id: str) -> None:
        """A copy of an earlier request started nothing: it does not count against the rate."""
        bucket = self._buckets.get(org_id)
        if bucket is not None:
            bucket.tokens += 1

    def _queue_is_full(self) -> AlloydError:
        return AlloydError(
            Code.RATE_LIMITED,
            f"the organization has {self.settings.queued_per_org_max} queued runs, the most it may have",
            retry_after_s=10,
        )

    def _take_token(self, org_id: str) -> AlloydError | None:
        rate = self.settings.starts_per_s_per_org
        if rate <= 0:
            return None
        now = self._clock.now_ms()
        bucket = self._buckets.setdefault(org_id, _Bucket(rate, now))
        bucket.tokens = min(rate, bucket.tokens + (now - bucket.seen_ms) * rate / 1000)
        bucket.seen_ms = now
        if bucket.tokens < 1:
            return AlloydError(Code.RATE_LIMITED, f"the organization may start {rate} runs a second", retry_after_s=1)
        bucket.tokens -= 1
        return None
