"""The one place that says no: every route's permission is asked here."""

from __future__ import annotations

from dataclasses import dataclass

from alloyd.errors import AlloydError, Code, not_found
from alloyd.principal import ACTIONS, Kind, Principal

# The permission of what only the data directory's socket serves; no role and no scope grants it.
OPERATOR_ONLY = "operator"


@dataclass(frozen=True, slots=True)
class Resource:
    """What an action is done to: its kind in the caller's words, its id, and the organization it belongs to."""

    kind: str
    id: str
    org_id: str


def authorize(principal: Principal, action: str, resource: Resource | None = None) -> None:
    """Return when ``principal`` may do ``action``, on ``resource`` if one is given.

    Raises ``forbidden`` when its role or scopes don't allow it and for an action that does not exist; ``not_found``
    for a resource of another organization, which is as good as not there. What no rule allows is refused.
    """
    if action == OPERATOR_ONLY:
        if principal.kind is not Kind.OPERATOR:
            raise _forbidden("only the operator of this installation may do that")
    elif action not in ACTIONS:
        raise _forbidden("nobody may do that", log=f"unknown action {action!r}")
    elif not principal.may(action):
        raise _forbidden(f"the role or the scopes of this credential do not allow {action}")
    if resource is not None and resource.org_id != principal.org_id:
        raise not_found(resource.kind)


def _forbidden(message: str, log: str | None = None) -> AlloydError:
    return AlloydError(Code.FORBIDDEN, message, log=log)
