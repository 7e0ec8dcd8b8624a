"""From a definition to a graph, listing every fault on the way."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

import msgspec

from alloyd.domain.operations.catalogue import find_operation
from alloyd.domain.operations.model import Operation
from alloyd.domain.operations.validation import check_config
from alloyd.domain.workflows import model
from alloyd.domain.workflows.flow import nodes_of_flow
from alloyd.domain.workflows.model import (
    ContextPath,
    DefinitionBody,
    Dependency,
    Fault,
    Graph,
    Mapping,
    Mode,
    Node,
    NodeDefinition,
    PolicyDefinition,
)
from alloyd.domain.workflows.triggers import read_trigger
from alloyd.kit.expressions import (
    Expression,
    ExpressionError,
    Template,
    TemplateFaults,
    compile_expression,
    compile_template,
)

_KEY = re.compile(model.KEY_PATTERN)
NO_POLICY = PolicyDefinition()
_ROOTS = frozenset({"trigger", "context", "steps", "run", "now", "inputs"})
_PATH = re.compile(r"\$(?P<path>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_-]+)*)\Z")
_MODES = ("parallel", "restart", "queue")
_MODE_ROOTS = frozenset({"trigger", "context"})
CONCURRENCY_LIMIT_MAX = 10_000


def is_draft(body: DefinitionBody) -> bool:
    """Whether there is nothing to run yet: no nodes, and no flow or no starting step."""
    if body.nodes is not None:
        return False
    return not body.flow or not body.starting_step_id


def compile_definition(body: DefinitionBody, nodes_max: int, step_timeout_ms: int) -> tuple[Graph | None, list[Fault]]:
    """The graph of ``body``, or None and all its faults, each with its place.

    ``step_timeout_ms`` holds for a step whose policy names none.
    """
    faults: list[Fault] = []
    prefix = "nodes"
    if body.nodes is not None:
        nodes = body.nodes
        if body.flow is not None:
            faults.append(Fault("flow", "give nodes or a flow, not both"))
    else:
        assert body.flow is not None and body.starting_step_id is not None  # noqa: PT018  # is_draft said so
        nodes, faults = nodes_of_flow(body.flow, body.starting_step_id)
        prefix = "flow"
    faults.extend(read_trigger(body.trigger)[1])
    mode = _compile_mode(body, faults)
    default_policy = (body.defaults.policy if body.defaults else None) or NO_POLICY
    known = _Known(frozenset(), _ROOTS, (default_policy, step_timeout_ms), nodes_max)
    compiled = _compile_nodes(nodes, prefix, known, faults)
    if faults:
        return None, faults
    deadline_ms = body.defaults.run_deadline_ms if body.defaults else None
    return _graph(compiled, deadline_ms, mode), []


@dataclass(frozen=True, slots=True)
class _Known:
    """What holds for all steps of a list of nodes: their keys, the names in expressions, the policy, the bound."""

    keys: frozenset[str]
    names: frozenset[str]
    defaults: tuple[PolicyDefinition, int]
    nodes_max: int


def _compile_nodes(nodes: list[NodeDefinition], prefix: str, known: _Known, faults: list[Fault]) -> list[Node]:
    """The steps of a definition, or those inside of one; ``faults`` gets what is wrong."""
    if not nodes and not faults:
        faults.append(Fault(prefix, "at least one step is needed"))
    if len(nodes) > known.nodes_max:
        faults.append(Fault(prefix, f"at most {known.nodes_max} steps, not {len(nodes)}"))
        return []
    wrong = _check_keys(nodes, prefix)
    faults.extend(wrong)
    if not wrong:
        faults.extend(_check_cycle(nodes, prefix))
    known = replace(known, keys=frozenset(node.key for node in nodes))
    compiled = [
        node
        for index, definition in enumerate(nodes)
        if (node := _compile_node(definition, _place(prefix, index, definition), known, faults))
    ]
    _check_ports(compiled, nodes, prefix, faults)
    return compiled


def _place(prefix: str, index: int, node: NodeDefinition) -> str:
    return f"flow.{node.key}" if prefix == "flow" else f"{prefix}[{index}]"


def _compile_mode(body: DefinitionBody, faults: list[Fault]) -> Mode | None:
    """How runs of the workflow get along with each other; None when they need not know of each other."""
    if body.mode not in _MODES:
        faults.append(Fault("mode", f"one of {', '.join(_MODES)} is wanted"))
    limit, key = body.concurrency_limit, None
    if limit is not None and not 1 <= limit <= CONCURRENCY_LIMIT_MAX:
        faults.append(Fault("concurrency_limit", f"1 to {CONCURRENCY_LIMIT_MAX} is wanted"))
    if body.concurrency_key is not None:
        known = _Known(frozenset(), _MODE_ROOTS, (NO_POLICY, 1), 0)
        key = _compile_text(body.concurrency_key, "", "concurrency_key", known, faults)
        if body.mode == "parallel" and limit is None:
            faults.append(Fault("concurrency_limit", "is needed for a concurrency_key in the mode parallel"))
    if body.mode == "parallel" and limit is None:
        return None
    return Mode(body.mode == "restart", limit or 1, key)


def _check_keys(nodes: list[NodeDefinition], prefix: str) -> list[Fault]:
    faults: list[Fault] = []
    keys = {node.key for node in nodes}
    seen: set[str] = set()
    for index, node in enumerate(nodes):
        place = _place(prefix, index, node)
        if not _KEY.fullmatch(node.key):
            faults.append(Fault(f"{place}.key", "1 to 64 letters, digits, _ or - are wanted"))
        elif node.key in seen:
            faults.append(Fault(f"{place}.key", f"{node.key!r} is there twice"))
        seen.add(node.key)
        for number, name in enumerate(node.depends_on):
            if _dependency(name).key not in keys:
                faults.append(Fault(f"{place}.depends_on[{number}]", f"there is no step {name!r}"))
    return faults


def _check_cycle(nodes: list[NodeDefinition], prefix: str) -> list[Fault]:
    sorter = TopologicalSorter({node.key: [_dependency(name).key for name in node.depends_on] for node in nodes})
    try:
        sorter.prepare()
    except CycleError as error:
        return [Fault(prefix, f"steps wait for each other: {' -> '.join(reversed(error.args[1]))}")]
    return []


def _dependency(name: str) -> Dependency:
    key, dot, port = name.partition(".")
    return Dependency(key, port if dot else None)


def _compile_node(node: NodeDefinition, place: str, known: _Known, faults: list[Fault]) -> Node | None:
    operation = find_operation(node.operation)
    if operation is None:
        faults.append(Fault(f"{place}.operation", f"there is no operation {node.operation!r}"))
        return None
    faults.extend(
        Fault(f"{place}.config.{fault.path}" if fault.path else f"{place}.config", fault.message)
        for fault in check_config(operation, _with_inputs(node, operation))
    )
    later = {
        name: value
        for name, value in node.config.items()
        if name in operation.deferred and (name not in operation.deferred_texts or isinstance(value, str))
    }
    deferred = _compile_deferred(later, operation, place, known, faults)
    inner = _compile_inline(node, operation, place, known, faults)
    now = {name: value for name, value in node.config.items() if name not in later and name != operation.inline}
    config = _compile_config(now, operation, place, known, faults)
    when = _compile_when(node.when, place, known, faults)
    inputs = tuple(
        (name, expression)
        for name, path in _pairs(node.inputs)
        if (expression := _compile_path(path, place, f"inputs.{name}", known, faults))
    )
    outputs = tuple(
        target
        for name, path in _pairs(node.outputs)
        if (target := _context_path(name, path, f"{place}.outputs.{name}", faults))
    )
    if config is None:
        return None
    return Node(
        key=node.key,
        operation=operation,
        depends_on=tuple(_dependency(name) for name in node.depends_on),
        when=when,
        config=config,
        inputs=inputs,
        outputs=outputs,
        policy=(node.policy or NO_POLICY).resolve(*known.defaults),
        deferred=deferred,
        inner=inner,
    )


def _with_inputs(node: NodeDefinition, operation: Operation) -> dict[str, Any]:
    """The config as the check sees it: a field that an input fills is there, with a value not known yet."""
    fields = {field for field, _path in _pairs(node.inputs) if field in operation.config.__struct_encode_fields__}
    return {**node.config, **dict.fromkeys(fields, "{{ inputs }}")} if fields else node.config


def _compile_config(
    config: dict[str, Any], operation: Operation, place: str, known: _Known, faults: list[Fault]
) -> Template | None:
    braced = dict(config)
    for name in operation.expressions:
        value = braced.get(name)
        if isinstance(value, str) and "{{" not in value:
            braced[name] = f"{{{{ {value} }}}}"
    try:
        template = compile_template(braced, "config")
    except TemplateFaults as error:
        faults.extend(Fault(f"{place}.{fault.place}", _told(fault)) for fault in error.faults)
        return None
    faults.extend(_check_names(template, f"{place}.config", known))
    return template


def _compile_deferred(
    later: dict[str, Any], operation: Operation, place: str, known: _Known, faults: list[Fault]
) -> tuple[tuple[str, Template], ...]:
    """Config fields that are rendered when more is known: with ``item``, say."""
    compiled = []
    for name, value in later.items():
        bare = name in operation.deferred_texts and "{{" not in value
        more = replace(known, names=known.names | operation.deferred[name])
        try:
            template = compile_template(f"{{{{ {value} }}}}" if bare else value, f"config.{name}")
        except TemplateFaults as error:
            faults.extend(Fault(f"{place}.{fault.place}", _told(fault)) for fault in error.faults)
            continue
        faults.extend(_check_names(template, f"{place}.config.{name}", more))
        compiled.append((name, template))
    return tuple(compiled)


def _compile_inline(
    node: NodeDefinition, operation: Operation, place: str, known: _Known, faults: list[Fault]
) -> Graph | None:
    """The graph of nodes inside of a step; their faults stand at their place within its config."""
    given = node.config.get(operation.inline) if operation.inline else None
    if not isinstance(given, list):
        return None
    prefix = f"{place}.config.{operation.inline}"
    nodes = []
    for index, entry in enumerate(given):
        try:
            nodes.append(msgspec.convert(entry, NodeDefinition))
        except msgspec.ValidationError as error:
            text, _, path = str(error).partition(" - at `$")
            faults.append(Fault(f"{prefix}[{index}]{path.rstrip('`')}", f"{text[:1].lower()}{text[1:]}"))
    if len(nodes) < len(given):
        return None
    inside = replace(known, names=_ROOTS | operation.inline_names)
    before = len(faults)
    compiled = _compile_nodes(nodes, prefix, inside, faults)
    return _graph(compiled, None, None) if len(faults) == before else None


def _compile_when(when: str | bool | None, place: str, known: _Known, faults: list[Fault]) -> Expression | None:
    if when is None or when is True:
        return None
    return _compile_text("false" if when is False else when, place, "when", known, faults)


def _compile_text(text: str, place: str, field: str, known: _Known, faults: list[Fault]) -> Expression | None:
    """``field`` names the expression within its step, also in what is told when it fails in a run."""
    try:
        expression = compile_expression(text, field)
    except ExpressionError as error:
        faults.append(Fault(f"{place}.{field}".lstrip("."), _told(error)))
        return None
    faults.extend(_check_names(expression, f"{place}.{field}".lstrip("."), known))
    return expression


def _told(error: ExpressionError) -> str:
    return error.message if error.column is None else f"column {error.column}: {error.message}"


def _check_names(compiled: Template | Expression, place: str, known: _Known) -> list[Fault]:
    faults = [
        Fault(place, f"there is no name {name!r} here; {', '.join(sorted(known.names))} are known")
        for name in sorted(compiled.names - known.names)
    ]
    faults.extend(Fault(place, f"there is no step {key!r}") for key in sorted(compiled.steps - known.keys))
    return faults


def _pairs(given: dict[str, str] | list[Mapping]) -> list[tuple[str, str]]:
    if isinstance(given, dict):
        return list(given.items())
    return [(entry.name, entry.path) for entry in given]


def _compile_path(path: str, place: str, field: str, known: _Known, faults: list[Fault]) -> Expression | None:
    match = _PATH.match(path)
    if match is None:
        faults.append(Fault(f"{place}.{field}", "a path such as $context.a.b is wanted"))
        return None
    root, *rest = match["path"].split(".")
    return _compile_text(root + "".join(f'["{key}"]' for key in rest), place, field, known, faults)


def _context_path(name: str, path: str, place: str, faults: list[Fault]) -> ContextPath | None:
    match = _PATH.match(path)
    keys = match["path"].split(".") if match else []
    if len(keys) < 2 or keys[0] != "context":
        faults.append(Fault(place, "a path in the context such as $context.a.b is wanted"))
        return None
    return ContextPath(name, tuple(keys[1:]))


def _check_ports(compiled: list[Node], nodes: list[NodeDefinition], prefix: str, faults: list[Fault]) -> None:
    operations = {node.key: node.operation for node in compiled}
    for index, node in enumerate(nodes):
        for number, name in enumerate(node.depends_on):
            dependency = _dependency(name)
            operation = operations.get(dependency.key)
            if dependency.port is None or operation is None or dependency.port in operation.ports:
                continue
            place = f"{_place(prefix, index, node)}.depends_on[{number}]"
            faults.append(Fault(place, f"{dependency.key!r} has no way {dependency.port!r}"))


def _graph(compiled: list[Node], run_deadline_ms: int | None, mode: Mode | None) -> Graph:
    dependents: dict[str, list[str]] = {node.key: [] for node in compiled}
    for node in compiled:
        for key in dict.fromkeys(dependency.key for dependency in node.depends_on):
            dependents[key].append(node.key)
    nodes = {node.key: replace(node, dependents=tuple(dependents[node.key])) for node in compiled}
    sorter = TopologicalSorter(
        {node.key: list(dict.fromkeys(dependency.key for dependency in node.depends_on)) for node in compiled}
    )
    return Graph(
        nodes=nodes,
        order=tuple(sorter.static_order()),
        roots=tuple(node.key for node in compiled if not node.depends_on),
        leaves=tuple(node.key for node in compiled if not dependents[node.key]),
        run_deadline_ms=run_deadline_ms,
        mode=mode,
        waits=any(node.operation.waits for node in compiled),
    )
