"""Who listens to replies while models write them: one bounded channel for each run, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

STREAMS_MAX: Final = 4096
BETWEEN_TURNS: Final = "\n\n"  # as the whole reply has it


class ReplyStream:
    """What models said in a run, from its first word to the last, for one listener.

    Bounded: above ``chars_max`` nothing more is told, and the listener gets the whole reply at the end. So it is when
    a model breaks off in the middle and is asked again: what was told can't be taken back.
    """

    def __init__(self, chars_max: int) -> None:
        self._chars_max = chars_max
        self._chars = 0
        self._gap = False
        self._waiting: list[str] = []
        self._news = asyncio.Event()
        self._closed = False
        self._broken = False
        self.told = ""  # all that was taken, or is yet to be

    def begin_turn(self) -> None:
        """A model is asked, maybe after others: what it says comes after an empty line then."""
        self._gap = self._chars > 0

    def say(self, text: str) -> None:
        """More words."""
        if self._closed or self._broken or not text:
            return
        if self._gap:
            self._gap, text = False, BETWEEN_TURNS + text
        self._chars += len(text)
        if self._chars > self._chars_max:
            self._broken = True
            return
        self._waiting.append(text)
        self._news.set()

    def break_off(self) -> None:
        """What was said of this turn does not count: say no more."""
        self._broken = True

    def close(self) -> None:
        """The run has ended."""
        self._closed = True
        self._news.set()

    async def pieces(self) -> AsyncIterator[str]:
        """What is said, as it comes, until :meth:`close`; several words at a time for a slow listener."""
        while self._waiting or not self._closed:
            if self._waiting:
                text = "".join(self._waiting)
                self._waiting.clear()
                self.told += text
                yield text
            else:
                self._news.clear()
                await self._news.wait()


class ReplyStreams:
    """The streams that somebody listens to, by run."""

    def __init__(self, chars_max: int) -> None:
        self._chars_max = chars_max
        self._streams: dict[str, ReplyStream] = {}

    def open(self, run_id: str) -> ReplyStream:
        """Listen to a run, from now on; in the place of who listened before."""
        before = self._streams.get(run_id)
        if before is not None:
            before.close()
            del self._streams[run_id]
        while len(self._streams) >= STREAMS_MAX:
            oldest = next(iter(self._streams))
            self.close(oldest, self._streams[oldest])  # who listens there gets the rest at the end
        stream = self._streams[run_id] = ReplyStream(self._chars_max)
        return stream

    def find(self, run_id: str) -> ReplyStream | None:
        """The stream that somebody listens to; None when nobody does."""
        return self._streams.get(run_id)

    def close(self, run_id: str, stream: ReplyStream) -> None:
        """The run has ended, or nobody listens any more."""
        stream.close()
        if self._streams.get(run_id) is stream:
            del self._streams[run_id]

    def __len__(self) -> int:
        return len(self._streams)
