"""Declared things: what documents of each `kind` say, what is there already, and the steps between the two."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from alloyd.cli.client import Client, segment
from alloyd.cli.declared_teammate import FIELDS, read_teammate, workflows_of
from alloyd.cli.documents import Document, read_documents, to_yaml
from alloyd.cli.errors import refused
from alloyd.domain.workflows.secrets import masked
from alloyd.errors import Code

SUFFIXES: Final = (".yaml", ".yml", ".json")
FILES_MAX: Final = 1000
# In this order: what a later one names is there by then.
KINDS: Final = ("Organization", "Workflow", "Integration", "Teammate", "Schedule", "Webhook")
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "Organization": frozenset({"slug", "name"}),
    "Integration": frozenset({"slug", "name", "category", "icon_url", "description", "workflows"}),
    "Teammate": FIELDS,
    "Schedule": frozenset({"name", "workflow", "cron", "timezone", "misfire", "payload", "enabled"}),
    "Webhook": frozenset({"url", "events", "description", "enabled"}),
}
_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "Integration": {"category": None, "icon_url": None, "description": None},
    "Schedule": {"timezone": "UTC", "misfire": "once", "payload": {}, "enabled": True},
    "Webhook": {"description": None, "enabled": True},
}
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "Organization": ("slug", "name"),
    "Workflow": ("name",),
    "Integration": ("slug", "name"),
    "Teammate": ("name",),
    "Schedule": ("name", "workflow", "cron"),
    "Webhook": ("url", "events"),
}


@dataclass(slots=True)
class Step:
    """What one document asks for. ``method`` is empty when everything is as it says already."""

    document: Document
    kind: str
    name: str
    method: str = ""
    path: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    difference: str = ""
    workflow: str | None = None  # by name: its id is known once the workflows are there
    workflows: tuple[str, ...] | None = None  # the names of all that an integration is to have
    tools: tuple[tuple[str, str], ...] = ()  # the workflows that a teammate may run, each with where that is said
    perhaps: bool = False  # only a secret could be another one

    @property
    def what(self) -> str:
        """The word for what is done, or would be."""
        return "unchanged" if self.perhaps else {"": "unchanged", "POST": "created"}.get(self.method, "changed")


def read_declared(place: str) -> list[Document]:
    """The documents of a file, of stdin (``-``), or of every YAML and JSON file below a folder, in their order by kind.

    Raises Refused with file and line for what is no document or has another kind.
    """
    documents = [document for file in _files(place) for document in read_documents(file)]
    for document in documents:
        kind = document.value.get("kind")
        if kind not in KINDS:
            raise refused(
                Code.BAD_REQUEST, f"{document.place('kind')}: kind: one of {', '.join(KINDS)} is wanted, not {kind!r}"
            )
        _check_fields(document, kind)
    return sorted(documents, key=lambda document: KINDS.index(document.value["kind"]))


def _files(place: str) -> list[str]:
    path = Path(place)
    if place == "-" or not path.is_dir():
        return [place]
    found = [str(file) for file in sorted(path.rglob("*")) if file.is_file() and file.suffix in SUFFIXES]
    if not found:
        raise refused(Code.NOT_FOUND, f"{place}: holds no {', '.join(SUFFIXES)} file")
    if len(found) > FILES_MAX:
        raise refused(Code.TOO_LARGE, f"{place}: holds more than {FILES_MAX} files")
    return found


def _check_fields(document: Document, kind: str) -> None:
    known = _FIELDS.get(kind)
    for name in document.value:
        if known is not None and name not in known and name != "kind":
            told = f"{name}: {_article(kind)} {kind} has no such member; it has {', '.join(sorted(known))}"
            raise refused(Code.BAD_REQUEST, f"{document.place(name)}: {told}")
    for name in _NEEDED[kind]:
        if document.value.get(name) in (None, ""):
            raise refused(Code.BAD_REQUEST, f"{document.place()}: {name}: {_article(kind)} {kind} needs it")
    if kind == "Teammate":
        read_teammate(document)
    listed = document.value.get("workflows", []) if kind == "Integration" else []
    if not isinstance(listed, list) or not all(isinstance(name, str) and name for name in listed):
        raise refused(Code.BAD_REQUEST, f"{document.place('workflows')}: workflows: a list of names is wanted")


def _article(kind: str) -> str:
    return "an" if kind[0] in "IO" else "a"


class Present:
    """What is there now, read once for each list."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lists: dict[str, list[Any]] = {}

    async def list_all(self, path: str) -> list[Any]:
        """The items of a list."""
        if path not in self._lists:
            self._lists[path] = await self._client.list_pages(path)
        return self._lists[path]

    async def plan(self, document: Document) -> Step:
        """The step that ``document`` asks for."""
        kind = document.value["kind"]
        value = {name: given for name, given in document.value.items() if name != "kind"}
        if kind == "Organization":
            return await self._plan_organization(document, value)
        if kind == "Workflow":
            return await self._plan_workflow(document, value)
        if kind == "Integration":
            return await self._plan_integration(document, value)
        if kind == "Teammate":
            return await self._plan_teammate(document)
        if kind == "Schedule":
            return await self._plan_schedule(document, value)
        return await self._plan_webhook(document, value)

    async def _plan_organization(self, document: Document, value: dict[str, Any]) -> Step:
        step = Step(document, "Organization", str(value["slug"]))
        stem = "/operator/organizations"
        for there in await self.list_all(stem):
            if there["slug"] == value["slug"]:
                return _change(step, f"{stem}/{segment(there['id'])}", {"name": there["name"]}, {"name": value["name"]})
        return _create(step, stem, value)

    async def _plan_workflow(self, document: Document, value: dict[str, Any]) -> Step:
        step = Step(document, "Workflow", str(value["name"]))
        stem = "/v1/workflow-definitions"
        content = {name: given for name, given in value.items() if name != "release"}
        for there in await self.list_all(stem):
            if there["name"] == value["name"]:
                path = f"{stem}/{segment(there['id'])}"
                now = (await self._client.get(path))["definition"]
                shown = masked(content)  # as the daemon shows it; no secret gets into a difference
                released = value.get("release")
                labels = [] if released is None else await self._client.get(f"{path}/releases")
                is_released = released is None or any(one["release"] == released for one in labels)
                if now == shown == content and is_released:
                    return step
                # With a secret in it only the daemon can tell whether it is another one.
                step.method, step.path, step.body = "PUT", stem, value
                step.difference = _difference(now, shown)
                step.perhaps = now == shown and is_released
                return step
        created = _create(step, stem, value)
        created.difference = _difference(None, masked(value))
        return created

    async def _plan_integration(self, document: Document, value: dict[str, Any]) -> Step:
        stem = "/v1/integrations"
        wanted = {**_DEFAULTS["Integration"], **value}
        listed = wanted.pop("workflows", None)
        names = None if listed is None else tuple(dict.fromkeys(listed))
        step = Step(document, "Integration", str(value["slug"]), workflows=names)
        for there in await self.list_all(stem):
            if there["slug"] == value["slug"]:
                path = f"{stem}/{segment(there['id'])}"
                now = {name: there[name] for name in wanted}
                _change(step, path, now, wanted)
                has = {one["name"] for one in await self._client.list_pages(f"{path}/workflows")}
                if names is not None and has != set(names):
                    step.method, step.path = "PATCH", path
                    now, wanted = {**now, "workflows": sorted(has)}, {**wanted, "workflows": sorted(names)}
                    step.difference = _difference(now, wanted)
                return step
        created = _create(step, stem, wanted)
        created.difference = _difference(None, {**wanted, "workflows": list(names or ())})
        return created

    async def _plan_teammate(self, document: Document) -> Step:
        stem = "/v1/teammates"
        wanted = read_teammate(document)
        step = Step(document, "Teammate", wanted["name"], tools=workflows_of(wanted["tools"]))
        for there in await self.list_all(stem):
            if there["name"] == wanted["name"]:
                now = {name: there[name] for name in wanted}
                return _change(step, f"{stem}/{segment(there['id'])}", now, wanted)
        return _create(step, stem, wanted)

    async def _plan_schedule(self, document: Document, value: dict[str, Any]) -> Step:
        step = Step(document, "Schedule", str(value["name"]), workflow=str(value["workflow"]))
        stem = "/v1/schedules"
        wanted = {**_DEFAULTS["Schedule"], **value}
        del wanted["workflow"]
        ids = {there["id"]: there["name"] for there in await self.list_all("/v1/workflow-definitions")}
        for there in await self.list_all(stem):
            if there["name"] == value["name"] and ids.get(there["workflow_id"]) == value["workflow"]:
                now = {name: there[name] for name in wanted}
                return _change(step, f"{stem}/{segment(there['id'])}", now, wanted)
        return _create(step, stem, wanted)

    async def _plan_webhook(self, document: Document, value: dict[str, Any]) -> Step:
        step = Step(document, "Webhook", str(value["url"]))
        stem = "/v1/webhooks"
        wanted = {**_DEFAULTS["Webhook"], **value}
        for there in await self.list_all(stem):
            if there["url"] == value["url"]:
                return _change(step, f"{stem}/{segment(there['id'])}", {name: there[name] for name in wanted}, wanted)
        return _create(step, stem, wanted)


def _create(step: Step, path: str, body: dict[str, Any]) -> Step:
    step.method, step.path, step.body = "POST", path, body
    step.difference = _difference(None, body)
    return step


def _change(step: Step, path: str, now: dict[str, Any], wanted: dict[str, Any]) -> Step:
    """Only what differs is sent."""
    body = {name: given for name, given in wanted.items() if now[name] != given}
    if body:
        step.method, step.path, step.body = "PATCH", path, body
        step.difference = _difference(now, wanted)
    return step


def _difference(now: Any, wanted: Any) -> str:
    before = [] if now is None else to_yaml(now).splitlines()
    return "\n".join(list(difflib.unified_diff(before, to_yaml(wanted).splitlines(), "now", "declared", "", "", 3, "")))
