"""Who asked for what is being done now: carried from a request to the writes that it causes, for the audit trail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

ANONYMOUS: Final = "anonymous"  # the actor's kind where nobody is authenticated
SYSTEM: Final = "system"  # the actor's kind where alloyd acts by itself


class Stamp:
    """One request as the audit trail names it.

    ``action`` is what was asked for (`team.create`), ``route`` how (`POST /v1/teams`), ``address`` from where.
    ``changed`` has the names of the fields that the request gives, never their values.
    """

    __slots__ = ("action", "actor_id", "actor_kind", "address", "changed", "org_id", "request_id", "route", "status")

    def __init__(
        self,
        action: str,
        actor_kind: str = SYSTEM,
        actor_id: str = "",
        org_id: str = "",
        *,
        route: str = "",
        status: int | None = None,
        address: str = "",
        request_id: str = "",
    ) -> None:
        self.action = action
        self.actor_kind = actor_kind
        self.actor_id = actor_id
        self.org_id = org_id
        self.route = route
        self.status = status
        self.address = address
        self.request_id = request_id
        self.changed: tuple[str, ...] = ()


# What is stamped: a write takes the stamp of the task that asks for it, and the tasks which that one starts.
STAMP: Final[ContextVar[Stamp | None]] = ContextVar("alloyd.stamp", default=None)


@contextmanager
def stamped(stamp: Stamp | None) -> Iterator[None]:
    """Let the writes that are asked for within be on record as ``stamp`` says; with None they are on no record."""
    token = STAMP.set(stamp)
    try:
        yield
    finally:
        STAMP.reset(token)
