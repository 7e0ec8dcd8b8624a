"""The config of ``connector.action``, and its check against the connector that it names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Final

import jsonschema_rs
from msgspec import UNSET, Meta, UnsetType, field

from alloyd.domain.connectors.catalogue import find_shipped, shipped
from alloyd.domain.connectors.model import OWN_PREFIX, Action, params_schema
from alloyd.domain.operations.faults import MASK, dotted, faults_of
from alloyd.domain.operations.http_config import TimeoutMs
from alloyd.domain.operations.model import Config, Fault, OperationError
from alloyd.domain.operations.validation import is_template

PAGES_MAX: Final = 100
Cursor = Annotated[str, Meta(min_length=1, max_length=8192)]


class ConnectorConfig(Config, frozen=True):
    """Which action of which connector, with what, and as whom."""

    connector: Annotated[
        str, Meta(description="A connector's name, such as `slack`; an organization's own begin with `own-`.")
    ]
    action: Annotated[str, Meta(description="The key of one of its actions.")]
    params: Annotated[dict[str, Any], Meta(description="What the action takes.")] = field(default_factory=dict)
    credential: Annotated[
        str | UnsetType,
        Meta(
            description="A credential's id or label; otherwise the end user's for this connector, else the "
            "organization's only one."
        ),
    ] = UNSET
    cursor: Annotated[Cursor | UnsetType, Meta(description="The `next` of the page before.")] = UNSET
    page_all: Annotated[
        bool, Meta(description="Whether the following pages are taken too; `data` is the list of all items then.")
    ] = False
    pages_max: Annotated[int, Meta(ge=1, le=PAGES_MAX, description="With page_all: how many pages at most.")] = 20
    timeout_ms: Annotated[
        TimeoutMs | UnsetType,
        Meta(description="How long each request may take, in ms; otherwise the limit of outbound requests."),
    ] = UNSET


def check(config: Mapping[str, Any]) -> list[Fault]:
    """What can be told without knowing the organization: of the connectors that ship, all."""
    name, key = config.get("connector"), config.get("action")
    if not isinstance(name, str) or is_template(name):
        return []
    connector = find_shipped(name)
    if connector is None:
        if name.startswith(OWN_PREFIX):
            return []
        known = ", ".join(shipped())
        return [Fault("connector", f"there is no such connector; there are {known}, and the own ones: {OWN_PREFIX}...")]
    if not isinstance(key, str) or is_template(key):
        return []
    action = connector.definition.find_action(key)
    if action is None:
        known = ", ".join(one.key for one in connector.definition.actions)
        return [Fault("action", f"{name} has no such action; it has {known}")]
    faults = params_faults(action, config.get("params", {}))
    if config.get("page_all") is True and action.paging.kind == "none":
        faults.append(Fault("page_all", f"{key} has no pages"))
    return faults


def params_faults(action: Action, params: Any) -> list[Fault]:
    """What is wrong with the params, left out what still is a template."""
    if is_template(params):
        return []
    if not isinstance(params, Mapping):
        return [Fault("params", "an object is wanted")]
    found = []
    for path, fault in faults_of(_validator(action).iter_errors(params)):
        value: Any = params
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        if not (path and is_template(value)):
            found.append(
                Fault(
                    dotted(["params", *path]) if fault.message != "is required" else f"params.{fault.path}",
                    fault.message,
                )
            )
    return found


def require_params(action: Action, params: dict[str, Any]) -> None:
    """Raises OperationError ``bad_config`` for the first fault; ``details`` lists all."""
    faults = params_faults(action, params)
    if faults:
        details = [{"path": fault.path, "message": fault.message} for fault in faults]
        first = faults[0]
        raise OperationError("bad_config", f"{first.path}: {first.message}", path=first.path, details=details)


def _validator(action: Action) -> jsonschema_rs.Validator:
    return _validator_of(_Keyed(action))


class _Keyed:
    """An action by identity: those that ship live for ever, others are read anew for each step."""

    def __init__(self, action: Action) -> None:
        self.action = action

    def __hash__(self) -> int:
        return id(self.action)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and self.action is other.action


@lru_cache(maxsize=512)
def _validator_of(keyed: _Keyed) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(params_schema(keyed.action), offline=True, mask=MASK)
