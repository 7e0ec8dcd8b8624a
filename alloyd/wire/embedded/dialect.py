"""How each version of the embedded contract puts what its handlers return: one dialect a version, nothing else differs.

``CURRENT`` is the contract as written. ``DATED`` is what published clients of its older versions read: lists come as
``data``, creating a user answers 200 with its id alone, and what was done is told by a word of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from alloyd.domain.embedded.model import ErrorEntry, LogEntry, LogStatus
from alloyd.domain.endusers.model import EndUser
from alloyd.domain.integrations.model import Choice, Installation, OfferedIntegration
from alloyd.kit.clock import rfc3339
from alloyd.wire.embedded import dated, shapes

# Every older version that published clients name: the first one, and then one a quarter.
DATED_VERSIONS: Final = ("2024-03", "2023-12", "2023-09", "2023-06", "2023-03", "2023-01")


@dataclass(frozen=True, slots=True)
class Told:
    """One kind of answer: its type, and how it is made of what the domain has."""

    output: Any
    make: Callable[..., Any]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one version answers, and the body that it takes for an event."""

    created: Told
    users: Told
    integrations: Told
    workflows: Told
    activated: Told
    deactivated: Told
    upgraded: Told
    logs: Told
    errors: Told
    triggered: Told
    event_body: type
    list_limit_default: int


def user(one: EndUser) -> shapes.User:
    """An end user, alike in every version."""
    return shapes.User(
        user_id=one.id,
        username=one.username,
        full_name=_set(one.full_name),
        created_at=rfc3339(one.created_at),
    )


def success(message: str) -> shapes.Success:
    """That something was done, alike in every version."""
    return shapes.Success(success=True, message=message)


def _set(value: str | None) -> str | UnsetType:
    return UNSET if value is None else value


def _users(found: Sequence[EndUser]) -> shapes.Users:
    listed = [user(one) for one in found]
    return shapes.Users(users=listed, data=listed)


def _integration(offered: OfferedIntegration) -> shapes.Integration:
    one = offered.integration
    return shapes.Integration(
        integration_id=one.id,
        name=one.name,
        category=_set(one.category),
        icon_url=_set(one.icon_url),
        installed=offered.installed,
    )


def _workflow(choice: Choice) -> shapes.Workflow:
    one = choice.installation
    return shapes.Workflow(
        workflow_id=choice.workflow_id,
        name=choice.name,
        installed=one is not None,
        active=one is not None and one.active,
        version=choice.release,
        installed_at=UNSET if one is None else rfc3339(one.created_at),
    )


def _workflows(found: Sequence[Choice]) -> shapes.Workflows:
    listed = [_workflow(one) for one in found]
    return shapes.Workflows(workflows=listed, data=listed)


def _log(one: LogEntry) -> shapes.Log:
    return shapes.Log(
        log_id=one.id,
        workflow_id=one.workflow_id,
        status=one.status.value,
        executed_at=rfc3339(one.executed_at),
        duration=one.duration_ms,
    )


def _dated_log(one: LogEntry) -> dated.Log:
    is_over = one.status is not LogStatus.PENDING
    return dated.Log(
        **msgspec.structs.asdict(_log(one)),
        execution_id=one.id,
        started_at=rfc3339(one.executed_at),
        stopped_at=rfc3339(one.executed_at + one.duration_ms) if is_over else UNSET,
        finished=is_over,
    )


def _error(one: ErrorEntry) -> shapes.Error:
    return shapes.Error(
        error_id=one.id,
        workflow_id=one.workflow_id,
        message=one.message,
        occurred_at=rfc3339(one.occurred_at),
    )


def _upgraded(one: Installation) -> shapes.Success:
    return success(f"Workflow upgraded to version {one.release}")


CURRENT: Final = Dialect(
    created=Told(shapes.User, user, 201),
    users=Told(shapes.Users, _users),
    integrations=Told(
        shapes.Integrations, lambda found: shapes.Integrations(integrations=[_integration(one) for one in found])
    ),
    workflows=Told(shapes.Workflows, _workflows),
    activated=Told(shapes.Success, lambda _one: success("Workflow activated")),
    deactivated=Told(shapes.Success, lambda _one: success("Workflow deactivated")),
    upgraded=Told(shapes.Success, _upgraded),
    logs=Told(shapes.Logs, lambda found: shapes.Logs(logs=[_log(one) for one in found])),
    errors=Told(shapes.Errors, lambda found: shapes.Errors(errors=[_error(one) for one in found])),
    triggered=Told(shapes.Success, lambda: success("Event triggered successfully")),
    event_body=shapes.EventCall,
    list_limit_default=50,
)

DATED: Final = Dialect(
    created=Told(dated.CreatedUser, lambda one: dated.CreatedUser(user_id=one.id)),
    users=Told(dated.Users, lambda found: dated.Users(data=[user(one) for one in found])),
    integrations=Told(dated.Integrations, lambda found: dated.Integrations(data=[_integration(one) for one in found])),
    workflows=Told(dated.Workflows, lambda found: dated.Workflows(data=[_workflow(one) for one in found])),
    activated=Told(dated.Activated, lambda _one: dated.Activated(activated=True)),
    deactivated=Told(dated.Deactivated, lambda _one: dated.Deactivated(deactivated=True)),
    upgraded=Told(dated.Upgraded, lambda _one: dated.Upgraded(upgraded=True)),
    logs=Told(dated.Logs, lambda found: dated.Logs(data=[_dated_log(one) for one in found])),
    errors=Told(dated.Errors, lambda found: dated.Errors(data=[_error(one) for one in found])),
    # The former words: there are clients that compare them.
    triggered=Told(shapes.Success, lambda: success("Event successfully triggered")),
    event_body=dated.EventCall,
    list_limit_default=200,
)
