"""What the embedded contract's bodies look like, of today's version."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from alloyd.domain.endusers.model import FULL_NAME_CHARS_MAX
from alloyd.errors import bad_request
from alloyd.kit.event_names import EVENT_CHARS_MAX
from alloyd.kit.text import OPTIONAL_LINE_PATTERN
from alloyd.wire.fields import line, told

Time = Annotated[str, told(format="date-time")]
Uri = Annotated[str, told(format="uri")]
FullName = Annotated[str, told(maxLength=FULL_NAME_CHARS_MAX, pattern=OPTIONAL_LINE_PATTERN)]

EventName = Annotated[str, line(EVENT_CHARS_MAX)]


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A body: an optional member that is not set is left out, never null."""


class User(Shape, frozen=True, kw_only=True):
    """An end user."""

    user_id: str
    username: str
    full_name: str | UnsetType = UNSET
    created_at: Time


class Users(Shape, frozen=True, kw_only=True):
    """A page of end users. ``data`` is the name that published clients of this version read."""

    users: list[User]
    data: list[User]


class Token(Shape, frozen=True, kw_only=True):
    """A token for an end user's browser."""

    token: str


class Success(Shape, frozen=True, kw_only=True):
    """Something was done."""

    success: bool
    message: str


class Integration(Shape, frozen=True, kw_only=True):
    """An integration as one end user sees it."""

    integration_id: str
    name: str
    category: str | UnsetType = UNSET
    icon_url: Uri | UnsetType = UNSET
    installed: bool


class Integrations(Shape, frozen=True, kw_only=True):
    """All integrations of the organization."""

    integrations: list[Integration]


class Workflow(Shape, frozen=True, kw_only=True):
    """A workflow as one end user sees it: installed at ``version``, or what installing would give."""

    workflow_id: str
    name: str
    installed: bool
    active: bool
    version: str
    installed_at: Time | UnsetType = UNSET


class Workflows(Shape, frozen=True, kw_only=True):
    """What one end user has installed, then what else the integrations offer. ``data`` as with :class:`Users`."""

    workflows: list[Workflow]
    data: list[Workflow]


class Log(Shape, frozen=True, kw_only=True):
    """One run; ``duration`` in milliseconds, once it has ended."""

    log_id: str
    workflow_id: str
    status: Literal["success", "failure", "pending"]
    executed_at: Time
    duration: int | UnsetType = UNSET


class Logs(Shape, frozen=True, kw_only=True):
    """A page of runs."""

    logs: list[Log]


class Error(Shape, frozen=True, kw_only=True):
    """What failed in a run."""

    error_id: str
    workflow_id: str
    message: str
    occurred_at: Time


class Errors(Shape, frozen=True, kw_only=True):
    """A page of errors."""

    errors: list[Error]


class NewUser(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Body of ``POST /users``."""

    username: str
    full_name: FullName | None = None


class UserChange(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Body of ``PUT /users/{userId}``: what is left out stays."""

    username: str | UnsetType = UNSET
    full_name: FullName | UnsetType | None = UNSET


class WorkflowActionTold(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Body of activating and deactivating, from a backend. From a user's browser ``userId`` may be left out."""

    workflow_id: str
    user_id: str


class WorkflowAction(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """:class:`WorkflowActionTold` as it is read. Some clients know the workflow's name only."""

    workflow_id: str | None = None
    workflow_name: str | None = None
    user_id: str | None = None

    @property
    def workflow(self) -> str:
        """Id or name. Raises ``bad_request`` without either."""
        named = self.workflow_id or self.workflow_name
        if not named:
            raise bad_request("workflowId: required", "workflowId")
        return named


class UpgradeTold(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Body of an upgrade. Without ``version`` it is to the newest; the user may be in the query instead."""

    user_id: str
    version: str | UnsetType = UNSET


class Upgrade(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """:class:`UpgradeTold` as it is read."""

    user_id: str | None = None
    version: str | None = None


class InstallTold(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Body of an installation, which is active at once; the user may be in the query instead."""

    user_id: str
    configuration: dict[str, Any] = {}


class Install(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """:class:`InstallTold` as it is read."""

    user_id: str | None = None
    configuration: dict[str, Any] = {}


class EventCall(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Body of ``POST /run/event``."""

    user_id: str
    event: EventName
    data: dict[str, Any] = {}
