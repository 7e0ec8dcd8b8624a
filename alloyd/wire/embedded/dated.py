"""Bodies of the embedded contract's older versions, as published clients of these read them.

Members that only those versions had stand beside today's, so that a client finds either.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from alloyd.wire.embedded import shapes
from alloyd.wire.embedded.shapes import EventName, Shape, Time


class CreatedUser(Shape, frozen=True, kw_only=True):
    """A new end user: the id alone."""

    user_id: str


class Users(Shape, frozen=True, kw_only=True):
    """A page of end users."""

    data: list[shapes.User]


class Integrations(Shape, frozen=True, kw_only=True):
    """All integrations of the organization."""

    data: list[shapes.Integration]


class Workflows(Shape, frozen=True, kw_only=True):
    """What one end user has installed, then what else the integrations offer."""

    data: list[shapes.Workflow]


class Log(shapes.Log, frozen=True, kw_only=True):
    """One run, under its former names as well."""

    execution_id: str
    started_at: Time
    stopped_at: Time | UnsetType = UNSET
    finished: bool


class Logs(Shape, frozen=True, kw_only=True):
    """A page of runs."""

    data: list[Log]


class Errors(Shape, frozen=True, kw_only=True):
    """A page of errors."""

    data: list[shapes.Error]


class Activated(Shape, frozen=True, kw_only=True):
    """A workflow is active."""

    activated: bool


class Deactivated(Shape, frozen=True, kw_only=True):
    """A workflow is not active."""

    deactivated: bool


class Upgraded(Shape, frozen=True, kw_only=True):
    """A workflow is at the release that was asked for, or at the newest."""

    upgraded: bool


class EventCall(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Body of ``POST /run/event``, whose ``data`` may be an object as JSON text."""

    user_id: str
    event: EventName
    data: dict[str, Any] | str = {}
