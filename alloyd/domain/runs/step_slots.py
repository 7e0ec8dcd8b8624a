"""Places for steps with effects: bounded in all and for each organization, handed out in turn between organizations."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class StepSlots:
    """``slots_max`` places, of which one organization has ``per_org_max`` at most.

    A place that is free goes to the next organization that waits for one and may have it, whose oldest step gets it:
    however many steps one organization has, another waits for the end of one step at most.
    """

    def __init__(self, slots_max: int, per_org_max: int) -> None:
        self._free = slots_max
        self._per_org_max = per_org_max
        self._held: dict[str, int] = {}
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()  # the first one's turn is next

    @asynccontextmanager
    async def of(self, org_id: str) -> AsyncIterator[None]:
        """Hold one of the organization's places, as soon as there is one."""
        await self._take(org_id)
        try:
            yield
        finally:
            self._give_back(org_id)

    def held_by(self, org_id: str) -> int:
        """How many places the organization holds."""
        return self._held.get(org_id, 0)

    async def _take(self, org_id: str) -> None:
        if self._free and self._may(org_id):  # nobody who may have it waits, or it would not be free
            self._grant(org_id)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(org_id, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it got its place in the same moment
                self._give_back(org_id)
            else:
                self._forget(org_id, turn)
            raise

    def _may(self, org_id: str) -> bool:
        return self.held_by(org_id) < self._per_org_max

    def _grant(self, org_id: str) -> None:
        self._free -= 1
        self._held[org_id] = self.held_by(org_id) + 1

    def _give_back(self, org_id: str) -> None:
        self._free += 1
        self._held[org_id] -= 1
        if not self._held[org_id]:
            del self._held[org_id]
        while self._free:
            org_id = next((waits for waits in self._waiting if self._may(waits)), "")
            if not org_id:
                return
            turns = self._waiting[org_id]
            turn = turns.popleft()
            if turns:
                self._waiting.move_to_end(org_id)
            else:
                del self._waiting[org_id]
            self._grant(org_id)
            turn.set_result(None)

    def _forget(self, org_id: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting[org_id]
        turns.remove(turn)
        if not turns:
            del self._waiting[org_id]
