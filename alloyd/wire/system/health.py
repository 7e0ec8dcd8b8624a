"""`GET /healthz`: the loop lives. `GET /readyz`: the daemon can do its work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec

from alloyd.log import get_logger
from alloyd.wire.route import PUBLIC, Call, Route

log = get_logger("alloyd.wire.health")

CHECK_TIMEOUT_S = 5.0
RETRY_AFTER_S = 5
OK = "ok"

# None when all is well, else what is wrong, in words for anybody: no paths, no secrets.
Check = Callable[[], Awaitable[str | None]]


class Health(msgspec.Struct):
    status: Literal["ok"] = "ok"


class Ready(msgspec.Struct):
    """``checks`` by part (database, disk, scheduler): ``ok``, or what is wrong."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, str]


class Readiness:
    """The parts that must work, each with a name and a check, and whether the daemon is about to stop."""

    def __init__(self, checks: Sequence[tuple[str, Check]]) -> None:
        self.draining = False
        self._checks = tuple(checks)

    async def examine(self) -> Ready:
        """Ask every part; one that does not answer in :data:`CHECK_TIMEOUT_S` seconds is not usable."""
        answers = await asyncio.gather(*(_ask(name, check) for name, check in self._checks))
        checks = {name: answer for (name, _check), answer in zip(self._checks, answers, strict=True)}
        if self.draining:
            checks["daemon"] = "draining"
        return Ready("ok" if all(answer == OK for answer in checks.values()) else "unavailable", checks)


async def _ask(name: str, check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check() or OK
    except TimeoutError:
        return "does not answer"
    except Exception:
        log.exception("health check failed", part=name)
        return "failing"


def routes(readiness: Readiness) -> list[Route]:
    """Both, open to anybody."""

    async def get_health(call: Call) -> Health:
        return Health()

    async def get_readiness(call: Call) -> Ready:
        ready = await readiness.examine()
        if ready.status != OK:
            call.status = 503
            call.add_header("Retry-After", str(RETRY_AFTER_S))
        return ready

    return [
        Route("GET", "/healthz", get_health, PUBLIC, "Whether the daemon lives", output=Health),
        Route(
            "GET",
            "/readyz",
            get_readiness,
            PUBLIC,
            "Whether the daemon can work: 503, with the part that fails, while it can't",
            output=Ready,
            statuses=(503,),
        ),
    ]
