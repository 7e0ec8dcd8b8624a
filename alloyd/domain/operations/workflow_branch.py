"""``workflow.branch``: takes one of two ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from alloyd.domain.operations.comparison import UNARY, MismatchError, Operator, compare
from alloyd.domain.operations.model import Config, Done, Fault, Operation, OperationError, StepContext
from alloyd.domain.operations.paths import find_value, parse_path
from alloyd.domain.operations.validation import is_template
from alloyd.kit.expressions import truthy

THEN, ELSE = "then", "else"


class BranchConfig(Config, frozen=True):
    """A condition, or a path with an operator."""

    condition: Annotated[
        Any,
        Meta(
            description="An expression, bare (`context.amount > 100`) or in braces. Null, false, 0 and what is empty "
            "take `else`."
        ),
    ] = UNSET
    condition_path: Annotated[
        str | UnsetType | None,
        Meta(
            description="Instead of `condition`: where the value is, such as `context.order.items[0].sku`. Where it "
            "is null or missing, `else` is taken, whatever the operator."
        ),
    ] = UNSET
    operator: Annotated[
        Operator | UnsetType, Meta(description="How the value at `condition_path` is compared; `eq` unless given.")
    ] = UNSET
    value: Annotated[Any, Meta(description="What it is compared with.")] = UNSET


def compute(ctx: StepContext, config: BranchConfig) -> Done:
    """Takes the port ``then`` or ``else``; output ``{result, port}``.

    Fails with ``type_mismatch`` when the operator does not fit the two values.
    """
    result = _decide(ctx, config)
    port = THEN if result else ELSE
    return Done({"result": result, "port": port}, port=port)


def _decide(ctx: StepContext, config: BranchConfig) -> bool:
    if config.condition is not UNSET:
        return truthy(config.condition)
    if not isinstance(config.condition_path, str):
        return False
    try:
        parts = parse_path(config.condition_path)
    except ValueError as error:
        raise OperationError("bad_config", f"condition_path: {error}", path="condition_path") from None
    found = find_value(ctx.names, parts)
    if found is None:
        return False
    chosen: Operator = "eq" if isinstance(config.operator, UnsetType) else config.operator
    try:
        return compare(found, chosen, None if config.value is UNSET else config.value)
    except MismatchError as error:
        told = f"{config.condition_path} {chosen}: {error}"
        raise OperationError("type_mismatch", told, path="operator") from None


def check(config: Mapping[str, Any]) -> list[Fault]:
    """One of the two forms, whole and not mixed."""
    if ("condition" in config) == ("condition_path" in config):
        return [Fault("", "give `condition`, or `condition_path` with `operator` and `value`")]
    if "condition" in config:
        return [
            Fault(name, "goes with `condition_path`, not with `condition`")
            for name in ("operator", "value")
            if name in config
        ]
    faults = []
    path = config["condition_path"]
    if isinstance(path, str) and not is_template(path):
        try:
            parse_path(path)
        except ValueError as error:
            faults.append(Fault("condition_path", str(error)))
    chosen = config.get("operator", "eq")
    if isinstance(chosen, str) and not is_template(chosen) and (chosen in UNARY) == ("value" in config):
        faults.append(Fault("value", f"{chosen} takes no value" if chosen in UNARY else "is required"))
    return faults


OPERATION = Operation(
    name="workflow.branch",
    config=BranchConfig,
    summary="Takes `then` if a condition holds, otherwise `else`. Output: {result, port}.",
    compute=compute,
    expressions=frozenset({"condition"}),
    ports=(THEN, ELSE),
    check=check,
)
