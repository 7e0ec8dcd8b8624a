"""Which models of which providers work just now: one breaker each, told by real traffic alone; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from alloyd.domain.providers.model import ProviderFault

# Failures in a row that open a breaker; one that says when to come back opens it at once.
FAILURES_MAX: Final = 3
PAUSE_MS_MIN: Final = 2_000
PAUSE_MS_MAX: Final = 60_000
BREAKERS_MAX: Final = 10_000


@dataclass(slots=True)
class Breaker:
    """Closed while ``open_until`` is 0. After it one call at a time probes; its success closes, its failure doubles."""

    failures: int = 0
    open_until: int = 0
    pause_ms: int = PAUSE_MS_MIN
    probing: bool = False


class Health:
    """All breakers, by provider and model. What was never asked is healthy."""

    def __init__(self) -> None:
        self._breakers: dict[tuple[str, str], Breaker] = {}

    def rank(self, provider: str, model: str, now_ms: int) -> int:
        """0 healthy, 1 may be probed, 2 not to be asked now."""
        breaker = self._breakers.get((provider, model))
        if breaker is None or not breaker.open_until:
            return 0
        return 1 if now_ms >= breaker.open_until and not breaker.probing else 2

    def wait_ms(self, provider: str, model: str, now_ms: int) -> int:
        """How long until it may be asked again; 0 when now."""
        breaker = self._breakers.get((provider, model))
        return max(0, breaker.open_until - now_ms) if breaker is not None else 0

    def begin(self, provider: str, model: str) -> None:
        """A call is made. Follow it by one of :meth:`succeeded`, :meth:`failed`, :meth:`left`."""
        breaker = self._breakers.get((provider, model))
        if breaker is not None and breaker.open_until:
            breaker.probing = True

    def succeeded(self, provider: str, model: str) -> None:
        """It works."""
        self._breakers.pop((provider, model), None)

    def left(self, provider: str, model: str) -> None:
        """The call ended without saying anything of the provider: the caller left, or the question was bad."""
        breaker = self._breakers.get((provider, model))
        if breaker is not None:
            breaker.probing = False

    def failed(self, provider: str, model: str, fault: ProviderFault, now_ms: int) -> None:
        """It failed; a fault that is the question's own says nothing of the provider."""
        if not fault.retryable:
            self.left(provider, model)
            return
        if (provider, model) not in self._breakers and len(self._breakers) >= BREAKERS_MAX:
            self._breakers.pop(next(iter(self._breakers)))
        breaker = self._breakers.setdefault((provider, model), Breaker())
        breaker.failures += 1
        probed = breaker.probing
        breaker.probing = False
        if fault.retry_after_ms is not None:
            breaker.open_until = now_ms + max(fault.retry_after_ms, 1)
        elif probed or breaker.failures >= FAILURES_MAX:
            if probed:
                breaker.pause_ms = min(breaker.pause_ms * 2, PAUSE_MS_MAX)
            breaker.open_until = now_ms + breaker.pause_ms
