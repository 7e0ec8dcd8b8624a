"""How the event loop's time is divided between acknowledging starts and executing runs."""

from __future__ import annotations


class Share:
    """Acknowledging goes first: while many callers wait to be acknowledged, executing gets a part of the time.

    Time is cut into windows of ``window_s`` seconds. A window that follows one in which a commit held more than
    ``group_max`` starts is under pressure, and in it at most ``share`` (0 to 1) of the time goes to executing: never
    nothing, so that a queue always moves. Without pressure there is no limit. Pure: the caller tells the time.
    """

    __slots__ = ("_group_max", "_largest_group", "_pressed", "_share", "_spent_s", "_window_s", "next_window")

    def __init__(self, group_max: int, window_s: float, share: float) -> None:
        self.next_window = 0.0  # when this one ends, on the caller's clock
        self._group_max = group_max
        self._largest_group = 0
        self._window_s = window_s
        self._share = share
        self._pressed = False
        self._spent_s = 0.0

    def is_used_up(self, now_s: float) -> bool:
        """Whether executing has to wait for :attr:`next_window`."""
        if now_s >= self.next_window:
            missed = now_s - self.next_window >= self._window_s
            self._pressed = not missed and self._largest_group > self._group_max
            self.next_window = now_s + self._window_s
            self._largest_group, self._spent_s = 0, 0.0
        return self._pressed and self._spent_s >= self._share * self._window_s

    def note_group(self, starts: int) -> None:
        """A commit held so many starts: so many callers waited at once."""
        self._largest_group = max(self._largest_group, starts)

    def spend(self, seconds: float) -> None:
        """So much went to executing."""
        self._spent_s += seconds
