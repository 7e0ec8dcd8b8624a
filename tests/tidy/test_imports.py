"""Who may import whom: layers, capabilities, contracts; nothing lazy, nothing discovered."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

import pytest

# A room of alloyd and the rooms it may import besides itself.
BOTTOM = {"kit", "errors", "principal"}
LAYERS: Mapping[str, set[str]] = {
    "kit": {"errors"},
    "errors": set(),
    "principal": {"errors", "kit"},
    "config": {"kit", "errors"},
    "db": BOTTOM,
    "log": {"kit", "errors", "config"},
    "egress": {"kit", "errors"},
    "events": BOTTOM | {"db", "log"},
    "process": {"kit", "errors", "config", "log"},
    "domain": BOTTOM | {"db", "events", "egress", "log"},
    "wire": BOTTOM | {"events", "domain", "log"},
    "app": BOTTOM | {"config", "db", "egress", "events", "log", "process", "domain", "wire"},
    "cli": BOTTOM | {"app", "config", "db", "egress", "events", "log", "process", "domain", "wire"},
    "__main__": {"cli", "process"},
}

# Imports that no layer allows, and why they stand.
ALLOWED: Mapping[tuple[str, str], str] = {
    ("alloyd.wire.system.metrics", "alloyd.db.Database"): "reads the writer's counters and runs nothing",
}

# Modules that may look a package up while running, and why the executable does not need that.
LOOKS_UP: Mapping[str, str] = {
    "alloyd.app.swagger_ui": "finds a folder of files, which the executable has at a place that is known",
}

# Which capability uses which other one's model and service. No cycle.
CAPABILITY_EDGES: Mapping[str, set[str]] = {
    "orgs": {"idempotency"},
    "users": {"orgs", "idempotency"},
    "sessions": {"users", "orgs", "authz", "teams"},
    "setup": {"users", "orgs", "sessions"},
    "keys": {"orgs", "authz", "teams", "idempotency"},
    "authz": {"orgs", "idempotency"},
    "teams": {"orgs", "idempotency"},
    "invitations": {"orgs", "users", "teams", "idempotency"},
    "audit": set(),
    "backups": set(),
    "idempotency": set(),
    "usage": set(),
    "storage": {"orgs", "idempotency"},
    "webhooks": {"orgs", "idempotency"},
    "hooks": {"orgs", "runs", "workflows", "idempotency"},
    "connectors": {"orgs", "idempotency"},
    "credentials": {"connectors", "orgs", "idempotency"},
    "operations": {"connectors", "credentials", "providers", "storage", "webhooks"},
    "providers": {"usage"},
    "workflows": {"operations", "idempotency"},
    "retention": {"audit", "runs", "idempotency", "usage", "webhooks"},
    "runs": {"workflows", "operations", "orgs", "authz", "idempotency"},
    "assets": {"storage", "idempotency"},
    "objects": {"operations", "orgs", "storage", "users"},
    "jobs": {"assets", "objects", "runs", "workflows", "providers", "usage", "idempotency"},
    "endusers": {"orgs", "sessions", "idempotency"},
    "embedded": {"endusers", "integrations", "runs", "workflows", "webhooks", "idempotency"},
    "integrations": {"endusers", "orgs", "workflows", "idempotency"},
    "teammates": {"authz", "connectors", "idempotency", "operations", "orgs", "runs", "workflows"},
    "triggers": {"runs", "workflows"},
    "schedules": {"runs", "workflows", "idempotency"},
}

# What others see of a capability; operations also publish the list of all there are, and how one is checked; runs,
# what retention may do with them.
DOORS = {"model", "service"}
MORE_DOORS: Mapping[str, set[str]] = {
    "operations": {"catalogue", "teammate_model", "validation"},
    "providers": {"answers", "attachments"},
    "workflows": {"numbered", "triggers"},
    "sessions": {"tokens", "throttle"},
    "integrations": {"installations"},
    "embedded": {"purge", "uninstalling"},
    "runs": {"archived", "retention", "retries", "event_waits", "end_users", "together"},
    "users": {"members"},
    "connectors": {"catalogue", "paging", "request"},
    "credentials": {"keeper"},
}

CONTRACTS = {
    "private",
    "objects",
    "embedded",
    "control",
    "channel",
    "openai",
    "ui",
    "grpc",
    "operator",
    "system",
}

# The only places that speak HTTP to others: workflows' requests go through egress, commands to the own daemon.
HTTP_CLIENTS = ("alloyd.egress", "alloyd.cli")
HTTP_CLIENT_NAMES = {
    "aiohttp.ClientSession",
    "aiohttp.ClientTimeout",
    "aiohttp.TCPConnector",
    "aiohttp.UnixConnector",
    "aiohttp.request",
    "http.client",
    "httpx",
    "requests",
    "urllib.request",
    "urllib3",
}


def imports_of(source) -> Iterator[str]:
    """Dotted names that a module imports; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inner_imports_of(source) -> Iterator[tuple[str, str]]:
    """(room, dotted name) of each import from alloyd itself."""
    for name in imports_of(source):
        parts = name.split(".")
        if parts[0] == "alloyd" and len(parts) > 1:
            yield parts[1], name


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def layer_faults(source) -> list[str]:
    room = room_of(source.module)
    if not room:
        return []
    if room not in LAYERS:
        return [f"{source.module}: the room {room} has no place in LAYERS"]
    return [
        f"{source.module} imports {name}"
        for other, name in inner_imports_of(source)
        if other != room and other not in LAYERS[room] and not other.startswith("__")
        if (source.module, name) not in ALLOWED
    ]


def capability_faults(source, edges: Mapping[str, set[str]]) -> list[str]:
    faults = []
    parts = source.module.split(".")
    own = parts[2] if parts[:2] == ["alloyd", "domain"] and len(parts) > 2 else None
    for room, name in inner_imports_of(source):
        if room != "domain":
            continue
        other, *inside = name.split(".")[2:]
        if other == own:
            continue
        if own is not None and other not in edges.get(own, set()):
            faults.append(f"{source.module} imports {name}: no edge {own} -> {other} in CAPABILITY_EDGES")
        if own is not None and (not inside or inside[0] not in DOORS | MORE_DOORS.get(other, set())):
            faults.append(f"{source.module} imports {name}: of another capability only its model and service")
        if own is None and inside and inside[0] == "store":
            faults.append(f"{source.module} imports {name}: a store belongs to its capability")
    return faults


def wire_faults(source) -> list[str]:
    parts = source.module.split(".")
    if parts[:2] != ["alloyd", "wire"]:
        return []
    own = parts[2] if len(parts) > 2 and parts[2] in CONTRACTS else None
    faults = []
    for room, name in inner_imports_of(source):
        inside = name.split(".")[2:]
        if room == "wire" and inside and inside[0] in CONTRACTS and inside[0] != own:
            faults.append(f"{source.module} imports {name}: contracts do not know each other")
        if "store" in inside:
            faults.append(f"{source.module} imports {name}: wire touches no store")
    return faults


def http_client_faults(source) -> list[str]:
    if source.module.startswith(HTTP_CLIENTS):
        return []
    used = set(imports_of(source))
    read = (ast.unparse(node) for node in ast.walk(source.tree) if isinstance(node, ast.Attribute))
    used |= {name for name in read if name.startswith("aiohttp.")}
    return [
        f"{source.module} uses {name}: requests to others go through alloyd.egress"
        for name in sorted(used)
        if any(name == banned or name.startswith(f"{banned}.") for banned in HTTP_CLIENT_NAMES)
    ]


def lazy_faults(source) -> list[str]:
    faults = []
    for name, function in source.functions():
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                faults.append(f"{source.module}.{name}: import inside a function, line {node.lineno}")
    return faults


def discovery_faults(source) -> list[str]:
    banned = ("importlib.import_module", "importlib.metadata", "importlib.util", "pkgutil", "runpy", "__import__")
    used = list(imports_of(source))
    used += [ast.unparse(node) for node in ast.walk(source.tree) if isinstance(node, ast.Attribute | ast.Name)]
    return sorted({f"{source.module} uses {name}" for name in used if name.startswith(banned)})


def test_rooms_import_only_what_lies_below(sources):
    faults = [fault for source in sources for fault in layer_faults(source)]
    assert not faults, "\n".join(faults)


def test_capabilities_keep_to_the_declared_edges(sources):
    faults = [fault for source in sources for fault in capability_faults(source, CAPABILITY_EDGES)]
    assert not faults, "\n".join(faults)


def test_declared_edges_have_no_cycle():
    TopologicalSorter(CAPABILITY_EDGES).prepare()


def test_a_cycle_would_be_seen():
    with pytest.raises(CycleError):
        TopologicalSorter({"runs": {"workflows"}, "workflows": {"runs"}}).prepare()


def test_every_capability_is_declared(root):
    domain = root / "alloyd" / "domain"
    found = {path.name for path in domain.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert found <= set(CAPABILITY_EDGES)


def test_wire_knows_no_store_and_contracts_not_each_other(sources):
    faults = [fault for source in sources for fault in wire_faults(source)]
    assert not faults, "\n".join(faults)


def test_every_folder_of_wire_is_a_known_contract(root):
    wire = root / "alloyd" / "wire"
    assert {path.name for path in wire.iterdir() if path.is_dir() and any(path.glob("*.py"))} <= CONTRACTS


def test_only_egress_and_cli_are_http_clients(sources):
    faults = [fault for source in sources for fault in http_client_faults(source)]
    assert not faults, "\n".join(faults)


def test_no_import_inside_a_function(sources):
    faults = [fault for source in sources for fault in lazy_faults(source)]
    assert not faults, "\n".join(faults)


def test_nothing_is_discovered_at_run_time(sources):
    faults = [fault for source in sources if source.module not in LOOKS_UP for fault in discovery_faults(source)]
    assert not faults, "\n".join(faults)
    assert [name for name in LOOKS_UP if not any(source.module == name for source in sources)] == []


@pytest.mark.parametrize(
    ("check", "module", "text"),
    [
        (layer_faults, "alloyd.kit.ids", "from alloyd.db import Tx"),
        (layer_faults, "alloyd.wire.private.storage", "import alloyd.db.database"),
        (layer_faults, "alloyd.domain.runs.service", "from alloyd.app import App"),
        (layer_faults, "alloyd.egress.client", "from alloyd.events.hub import Hub"),
        (layer_faults, "alloyd.newroom.thing", ""),
        (wire_faults, "alloyd.wire.private.trigger", "from alloyd.wire.control.codec import ControlSurface"),
        (wire_faults, "alloyd.wire.server", "from alloyd.wire.control import codec"),
        (wire_faults, "alloyd.wire.stream", "from alloyd.events import store"),
        (http_client_faults, "alloyd.domain.runs.worker", "import aiohttp\naiohttp.ClientSession()"),
        (http_client_faults, "alloyd.domain.runs.worker", "from aiohttp import ClientSession"),
        (http_client_faults, "alloyd.app", "from urllib.request import urlopen"),
        (lazy_faults, "alloyd.app", "class A:\n    def f(self):\n        import json"),
        (discovery_faults, "alloyd.app", "import importlib\nimportlib.import_module('x')"),
        (discovery_faults, "alloyd.app", "from importlib import metadata"),
        (discovery_faults, "alloyd.app", "__import__('x')"),
    ],
)
def test_checks_see_a_fault(check, module, text, sample):
    assert check(sample(module, text))


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("alloyd.domain.runs.service", "from alloyd.domain.workflows.store import find"),
        ("alloyd.domain.runs.service", "from alloyd.domain import workflows"),
        ("alloyd.domain.workflows.service", "from alloyd.domain.runs.service import start"),
        ("alloyd.app", "from alloyd.domain.runs.store import find"),
        ("alloyd.wire.private.trigger", "from alloyd.domain.runs import store"),
    ],
)
def test_capability_check_sees_a_fault(module, text, sample):
    assert capability_faults(sample(module, text), {"runs": {"workflows"}, "workflows": set()})


def test_checks_let_good_code_pass(sample):
    good = sample(
        "alloyd.domain.runs.service",
        "from importlib import resources\nfrom alloyd.domain.workflows.model import Workflow\n"
        "from alloyd.domain.runs import store\nfrom alloyd.kit.clock import now_ms\nfrom aiohttp import web",
    )
    assert capability_faults(good, {"runs": {"workflows"}}) == []
    for check in (layer_faults, wire_faults, http_client_faults, lazy_faults, discovery_faults):
        assert check(good) == []
