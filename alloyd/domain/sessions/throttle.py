"""Bounds how often something is tried by or at one subject: an account, an address."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import Clock

SIGN_IN_REFUSAL = "too many attempts to sign in; try again later"
_IPV6_HOST_BITS = 64  # one caller commonly has so many addresses


class Throttle:
    """At most ``attempts`` at once for each subject, and over time as many in ``window_s`` seconds.

    One number is kept for each subject: when it will be as good as new. ``subjects_max`` of them at most; the one
    not seen longest makes room. Checking passwords is so dear that nobody pushes a subject out before its time.
    ``refusal`` is what who has to wait is told.
    """

    def __init__(
        self, clock: Clock, attempts: int, window_s: int, subjects_max: int, refusal: str = SIGN_IN_REFUSAL
    ) -> None:
        self._refusal = refusal
        self._clock = clock
        self._cost_ms = max(1, window_s * 1000 // attempts)
        self._full_ms = self._cost_ms * attempts
        self._subjects_max = subjects_max
        self._good_at: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._good_at)

    def check(self, subject: str) -> None:
        """Raise ``rate_limited`` when ``subject`` has no attempt left now; takes none."""
        now = self._clock.now_ms()
        wait_ms = self._good_at.get(subject, 0) + self._cost_ms - self._full_ms - now
        if wait_ms > 0:
            raise AlloydError(Code.RATE_LIMITED, self._refusal, retry_after_s=-(-wait_ms // 1000))

    def take(self, subject: str) -> None:
        """Count an attempt, before its outcome is known: a hundred at once are a hundred."""
        now = self._clock.now_ms()
        self._good_at[subject] = max(self._good_at.get(subject, 0), now) + self._cost_ms
        self._good_at.move_to_end(subject)
        if len(self._good_at) > self._subjects_max:
            self._good_at.popitem(last=False)

    def give_back(self, subject: str) -> None:
        """The attempt succeeded: it does not count."""
        good_at = self._good_at.get(subject)
        if good_at is None:
            return
        if good_at - self._cost_ms <= self._clock.now_ms():
            del self._good_at[subject]
        else:
            self._good_at[subject] = good_at - self._cost_ms


def subject_of_address(address: str) -> str:
    """The subject that a caller at ``address`` is: an address of IPv4, a network of IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return f"{IPv6Address(int(parsed) >> _IPV6_HOST_BITS << _IPV6_HOST_BITS)}/{_IPV6_HOST_BITS}"
    return str(parsed)
