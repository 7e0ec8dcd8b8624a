"""The embedded contract as data: its schemas as validators, and its examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

FILE = Path(__file__).with_name("openapi.yaml")
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text())
METHODS = ("get", "post", "put", "delete")

# Settled in the contract's words: what the document leaves out of an operation's statuses.
SETTLED = {
    "triggerEvent": (404,),
    "listIntegrations": (400, 404),
    "listWorkflowErrors": (400,),
    "listWorkflowLogs": (400,),
    "activateWorkflow": (400, 404),
    "deactivateWorkflow": (400, 404),
    "upgradeWorkflow": (400, 404),
}


@dataclass(frozen=True)
class Operation:
    """One operation of the document."""

    id: str
    method: str
    path: str
    told: dict[str, Any]

    @property
    def good(self) -> int:
        """The status of success."""
        return next(int(status) for status in self.told["responses"] if status.startswith("2"))

    @property
    def statuses(self) -> set[int]:
        """Every status that may come."""
        return {*map(int, self.told["responses"]), *SETTLED.get(self.id, ())}

    @property
    def request(self) -> Any:
        """The example of the body, None for an operation without one."""
        body = self.told.get("requestBody")
        return None if body is None else _example(body["content"])

    @property
    def answer(self) -> Any:
        """The example of the answer."""
        return _example(self.told["responses"][str(self.good)]["content"])

    def validator(self, status: int) -> jsonschema_rs.Validator:
        """What checks the body of an answer with ``status``."""
        response = self.told["responses"].get(str(status))
        reference = "#/components/schemas/ErrorResponse"
        if response is not None:
            reference = response["content"]["application/json"]["schema"]["$ref"]
        return validator(reference)


def operations() -> Iterator[Operation]:
    """All of them, as the document has them."""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                yield Operation(item[method]["operationId"], method.upper(), path, item[method])


def validator(reference: str) -> jsonschema_rs.Validator:
    """The schema behind ``reference`` as one that knows all its properties and wants each of them that is not optional.

    The document says of no property that it must be there. The contract leaves out only optional fields that are not
    set, so an answer has all others; and what has no name in the schema would be a renamed field.
    """
    schemas = {name: _strict(name, schema) for name, schema in DOCUMENT["components"]["schemas"].items()}
    root = {"$ref": reference, "components": {"schemas": schemas}}
    return jsonschema_rs.Draft4Validator(root, validate_formats=True)


# Properties of answers that may be missing: they were never set, or can't be known yet.
OPTIONAL = {"User": {"fullName"}, "Integration": {"category", "iconUrl"}, "WorkflowLog": {"duration"}}


def _strict(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    return {**schema, "required": sorted(set(properties) - OPTIONAL.get(name, set())), "additionalProperties": False}


def _example(content: dict[str, Any]) -> Any:
    (example,) = content["application/json"]["examples"].values()
    return example["value"]
