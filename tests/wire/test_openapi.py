"""The OpenAPI document: by the rules of 3.1, and true to the routes."""

from __future__ import annotations

import re
from typing import Annotated, Any

import jsonschema_rs
import msgspec
import pytest

from alloyd.errors import AlloydError
from alloyd.kit.clock import ManualClock
from alloyd.wire.control.codec import ControlSurface
from alloyd.wire.openapi import build_document, render
from alloyd.wire.private.codec import PrivateSurface
from alloyd.wire.route import OPERATOR, PUBLIC, SIGNED_IN, Call, Route
from alloyd.wire.server import Server, WireLimits
from alloyd.wire.system.app import SystemSurface
from alloyd.wire.tickets import StreamTickets

from .conftest import Daemon, KnownKeys, authorize

# The shape of an OpenAPI 3.1 document, as far as we use it: after the specification, section 4.8.
_OBJECT = {"type": "object"}
_CONTENT = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {
        "type": "object",
        "required": ["schema"],
        "properties": {"schema": {"$ref": "#/$defs/schema"}},
        "additionalProperties": False,
    },
}
SHAPE: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["openapi", "info", "paths", "components"],
    "properties": {
        "openapi": {"type": "string", "pattern": r"^3\.1\.\d+$"},
        "info": {"type": "object", "required": ["title", "version"]},
        "servers": {"type": "array", "items": {"type": "object", "required": ["url"]}},
        "tags": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        "paths": {
            "patternProperties": {
                "^/[^?#]*$": {
                    "type": "object",
                    "minProperties": 1,
                    "propertyNames": {"enum": ["get", "post", "put", "patch", "delete"]},
                    "additionalProperties": {"$ref": "#/$defs/operation"},
                }
            },
            "additionalProperties": False,
        },
        "components": {
            "type": "object",
            "properties": {
                "schemas": {
                    "propertyNames": {"pattern": "^[a-zA-Z0-9._-]+$"},
                    "additionalProperties": {"$ref": "#/$defs/schema"},
                },
                "securitySchemes": {
                    "additionalProperties": {
                        "oneOf": [
                            {"required": ["scheme"], "properties": {"type": {"const": "http"}}},
                            {
                                "required": ["in", "name"],
                                "properties": {
                                    "type": {"const": "apiKey"},
                                    "in": {"enum": ["header", "query"]},
                                },
                            },
                        ]
                    }
                },
            },
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
    "$defs": {
        "schema": {"$ref": "https://json-schema.org/draft/2020-12/schema"},
        "parameter": {
            "type": "object",
            "required": ["name", "in", "schema"],
            "properties": {
                "name": {"type": "string"},
                "in": {"enum": ["path", "query"]},
                "required": {"type": "boolean"},
                "schema": {"$ref": "#/$defs/schema"},
            },
            "if": {"properties": {"in": {"const": "path"}}},
            "then": {"required": ["required"], "properties": {"required": {"const": True}}},
            "additionalProperties": False,
        },
        "operation": {
            "type": "object",
            "required": ["operationId", "summary", "tags", "x-permission", "security", "responses"],
            "properties": {
                "operationId": {"type": "string", "pattern": "^[A-Za-z0-9_]+$"},
                "summary": {"type": "string", "minLength": 3},
                "tags": {"type": "array", "items": {"type": "string"}},
                "x-permission": {"type": "string"},
                "security": {"type": "array", "items": {"additionalProperties": {"type": "array"}}},
                "parameters": {"type": "array", "items": {"$ref": "#/$defs/parameter"}},
                "requestBody": {
                    "type": "object",
                    "required": ["content"],
                    "properties": {"content": _CONTENT, "required": {"type": "boolean"}},
                    "additionalProperties": False,
                },
                "responses": {
                    "type": "object",
                    "minProperties": 1,
                    "propertyNames": {"pattern": "^[1-5][0-9]{2}$"},
                    "additionalProperties": {
                        "type": "object",
                        "required": ["description"],
                        "properties": {
                            "description": {"type": "string"},
                            "headers": _OBJECT,
                            "content": _CONTENT,
                            "links": {
                                "additionalProperties": {
                                    "type": "object",
                                    "required": ["operationId", "parameters"],
                                    "additionalProperties": False,
                                    "properties": {"operationId": {"type": "string"}, "parameters": _OBJECT},
                                }
                            },
                        },
                        "additionalProperties": False,
                    },
                },
            },
            "additionalProperties": False,
        },
    },
}


def check_document(document: dict[str, Any]) -> None:
    """All that can be said of a document without knowing its routes. Used for the golden one too."""
    validator = jsonschema_rs.Draft202012Validator(SHAPE)
    assert [f"{error.instance_path}: {error.message[:300]}" for error in validator.iter_errors(document)] == []
    schemas = document["components"]["schemas"]
    for reference in re.findall(r'"\$ref":\s*"([^"]*)"', msgspec.json.encode(document).decode()):
        assert reference.removeprefix("#/components/schemas/") in schemas, reference
    for name in schemas:  # each compiles, with what it refers to
        jsonschema_rs.Draft202012Validator(
            {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        )
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names)
    for one in operations:
        for answer in one["responses"].values():
            assert {link["operationId"] for link in answer.get("links", {}).values()} <= set(names)
    shapes = [re.sub(r"\{[^}]*\}", "{}", path) for path in document["paths"]]
    assert len(set(shapes)) == len(shapes), "paths that differ only in the names of parameters"
    tags = {tag["name"] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for one in methods.values():
            given = [(parameter["in"], parameter["name"]) for parameter in one.get("parameters", ())]
            assert len(set(given)) == len(given)
            assert [name for place, name in given if place == "path"] == re.findall(r"\{([^}]*)\}", path)
            assert set(one["tags"]) <= tags
            for requirement in one["security"]:
                assert set(requirement) <= set(document["components"]["securitySchemes"])


class Color(msgspec.Struct):
    name: str


class Thing(msgspec.Struct):
    """A thing."""

    id: str
    color: Color | None = None


class MakeThing(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(max_length=10)]
    colors: list[Color] = []


class ThingQuery(msgspec.Struct):
    color: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50
    cursor: str | None = None


async def serve(call: Call) -> None:
    raise AlloydError


def routes() -> list[Route]:
    upload = {"type": "object", "properties": {"file": {"type": "string", "contentMediaType": "image/png"}}}
    return [
        Route("GET", "/things", serve, "storage.read", "List things", query=ThingQuery, output=list[Thing]),
        Route(
            "POST", "/things", serve, "storage.write", "Make", body=MakeThing, output=Thing, status=201, statuses=(409,)
        ),
        Route("GET", "/things/{thing_id}/raw/{path:.+}", serve, "storage.read", "Raw", streams="image/png"),
        Route("DELETE", "/things/{id:[a-z]{3}}", serve, "storage.write", "Delete", status=204),
        Route("POST", "/uploads", serve, SIGNED_IN, "Upload", raw=True, request_media_type="multipart/form-data",
              request_schema=upload),
        Route("POST", "/anything", serve, OPERATOR, "Anything", body=Any, output=dict[str, Any]),
        Route("GET", "/open", serve, PUBLIC, "Open", output=Thing),
        Route("GET", "/live", serve, "event.read", "Live", streams="text/event-stream"),
        Route("GET", "/ws", serve, "event.read", "Socket", streams="websocket"),
    ]  # fmt: skip


@pytest.fixture
def document() -> dict[str, Any]:
    clock = ManualClock()
    control = ControlSurface(routes(), KnownKeys(), clock, tickets=StreamTickets(clock))
    private = PrivateSurface(
        [Route("POST", "/things", serve, "storage.write", "Make", body=MakeThing, output=Thing)], KnownKeys()
    )
    server = Server([control, private], authorize, WireLimits())
    decoded: dict[str, Any] = msgspec.json.decode(render(build_document(server.bound_routes(), "1.2.3")))
    return decoded


def test_it_keeps_the_rules(document: dict[str, Any]) -> None:
    check_document(document)
    assert document["info"]["version"] == "1.2.3"
    assert set(document["paths"]) == {
        "/api/private/things",
        "/v1/things",
        "/v1/things/{thing_id}/raw/{path}",
        "/v1/things/{id}",
        "/v1/uploads",
        "/v1/anything",
        "/v1/open",
        "/v1/live",
        "/v1/ws",
    }


def test_parameters_are_those_of_path_and_query(document: dict[str, Any]) -> None:
    text = {"type": "string", "pattern": r"^[^\x00\ufffd]*$"}
    segment = {"type": "string", "minLength": 1, "pattern": r"^[^/\x00-\x1f\x7f]+$"}
    rest = {**segment, "pattern": r"^[^\x00-\x1f\x7f]+$"}
    assert document["paths"]["/v1/things"]["get"]["parameters"] == [
        {"name": "color", "in": "query", "schema": text, "required": True},
        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}},
        {"name": "cursor", "in": "query", "schema": text},
    ]
    assert document["paths"]["/v1/things/{thing_id}/raw/{path}"]["get"]["parameters"] == [
        {"name": "thing_id", "in": "path", "required": True, "schema": segment},
        {"name": "path", "in": "path", "required": True, "schema": rest},
    ]
    assert "ThingQuery" not in document["components"]["schemas"]


def test_bodies_are_what_requests_are_checked_with(document: dict[str, Any]) -> None:
    paths = document["paths"]
    made = paths["/v1/things"]["post"]
    assert made["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MakeThing"}}},
    }
    checked = jsonschema_rs.Draft202012Validator(
        {"$ref": "#/components/schemas/MakeThing", "components": document["components"]}
    )
    assert checked.is_valid({"name": "x", "colors": [{"name": "red"}]})
    for bad in ({}, {"name": "x" * 11}, {"name": "x", "other": 1}, {"name": "x", "colors": [{}]}):
        assert not checked.is_valid(bad)
    upload = paths["/v1/uploads"]["post"]["requestBody"]["content"]
    assert upload["multipart/form-data"]["schema"]["properties"]["file"]["contentMediaType"] == "image/png"
    assert paths["/v1/anything"]["post"]["requestBody"]["content"]["application/json"]["schema"] == {}
    assert paths["/v1/anything"]["post"]["requestBody"]["required"] is False
    assert "requestBody" not in paths["/v1/open"]["get"]


def test_answers_are_in_the_surfaces_dialect(document: dict[str, Any]) -> None:
    control = document["paths"]["/v1/things"]["post"]["responses"]
    private = document["paths"]["/api/private/things"]["post"]["responses"]
    schema = control["201"]["content"]["application/json"]["schema"]
    assert schema["properties"]["data"] == {"$ref": "#/components/schemas/Thing"}
    assert set(schema["required"]) == {"meta", "context", "data", "error", "links"}
    assert private["200"]["content"]["application/json"]["schema"]["properties"]["success"] == {"const": True}
    for answers, name in ((control, "ControlError"), (private, "PrivateError")):
        for status, answer in answers.items():
            if status >= "400":
                assert answer["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{name}"}
    assert "content" not in document["paths"]["/v1/things/{id}"]["delete"]["responses"]["204"]
    assert document["paths"]["/v1/ws"]["get"]["responses"]["101"] == {"description": "A WebSocket"}
    assert list(document["paths"]["/v1/live"]["get"]["responses"]["200"]["content"]) == ["text/event-stream"]


@pytest.mark.parametrize(
    ("path", "method", "security", "permission", "errors"),
    [
        ("/v1/open", "get", [], "public", {400, 500}),
        ("/v1/uploads", "post", [{"control": []}], "signed-in", {400, 401, 413, 500, 503}),
        ("/v1/things", "get", [{"control": []}], "storage.read", {400, 401, 403, 500}),
        ("/v1/things", "post", [{"control": []}], "storage.write", {400, 401, 403, 409, 413, 500, 503}),
        ("/v1/things/{id}", "delete", [{"control": []}], "storage.write", {400, 401, 403, 404, 500, 503}),
        ("/v1/anything", "post", [{"control": []}], "operator", {400, 401, 403, 413, 500, 503}),
        ("/v1/live", "get", [{"control": []}, {"streamTicket": []}], "event.read", {400, 401, 403, 500}),
        ("/v1/ws", "get", [{"control": []}, {"streamTicket": []}], "event.read", {400, 401, 403, 500}),
        ("/api/private/things", "post", [{"private": []}], "storage.write", {400, 401, 403, 413, 500, 503}),
    ],
)
def test_credentials_permissions_and_errors(
    document: dict[str, Any], path: str, method: str, security: Any, permission: str, errors: set[int]
) -> None:
    one = document["paths"][path][method]
    assert (one["security"], one["x-permission"]) == (security, permission)
    assert {int(status) for status in one["responses"] if status >= "400"} == errors


async def test_answers_are_as_described(daemon: Daemon) -> None:
    _, document, _ = await daemon.get("/openapi.json", None)
    checked = 0
    for method, path, template, key, body in (
        ("GET", "/healthz", "/healthz", None, None),
        ("GET", "/readyz", "/readyz", None, None),
        ("GET", "/v1/echo/x", "/v1/echo/{name}", "org-a/one", None),
        ("GET", "/v1/echo/x", "/v1/echo/{name}", None, None),
        ("GET", "/v1/echo/%00", "/v1/echo/{name}", None, None),
        ("GET", "/v1/broken", "/v1/broken", None, None),
        ("POST", "/v1/auth/stream-ticket", "/v1/auth/stream-ticket", "org-a/one", None),
        ("POST", "/v1/greetings", "/v1/greetings", "org-a/one", {"name": "x"}),
        ("POST", "/v1/greetings", "/v1/greetings", "org-a/one", {"name": 1}),
        ("POST", "/v1/greetings", "/v1/greetings", "org-a/viewer", {"name": "x"}),
        ("GET", "/v1/events/stream?organization_id=b", "/v1/events/stream", "org-a/one", None),
    ):
        status, answer, _ = await daemon.get(path, key, method, json=body)
        described = document["paths"][template][method.lower()]["responses"][str(status)]
        schema = {**described["content"]["application/json"]["schema"], "components": document["components"]}
        jsonschema_rs.Draft202012Validator(schema).validate(answer)
        checked += 1
    assert checked == 11


async def test_it_is_served(daemon: Daemon) -> None:
    status, body, headers = await daemon.get("/openapi.json", None)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    check_document(body)
    assert {"/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/events/stream", "/v1/auth/stream-ticket"} <= set(
        body["paths"]
    )
    assert (await daemon.get("/openapi.json/", None))[1] == body
    assert (await daemon.get("/openapi.json", None, method="HEAD"))[0] == 200


class Parts(SystemSurface):
    name = "parts"
    prefix = "/parts"
    described = False


def test_headings_are_for_people(document: dict[str, Any]) -> None:
    clock = ManualClock()
    control = ControlSurface(
        [
            Route("GET", path, serve, "storage.read", "Read", output=Thing)
            for path in ("/workflow-runs", "/workflow-runs/{id}", "/brand-new-things/{id}")
        ],
        KnownKeys(),
        clock,
    )
    operator = ControlSurface(
        [Route("GET", "/keys", serve, OPERATOR, "Keys")], KnownKeys(), clock, name="operator", prefix="/operator"
    )
    parts = Parts([Route("GET", "/secret-page", serve, PUBLIC, "A page")])
    private = PrivateSurface([Route("GET", "/things", serve, "storage.read", "List")], KnownKeys())
    server = Server([parts, control, operator, private], authorize, WireLimits())
    made = build_document(server.bound_routes(), "1")
    assert [tag["name"] for tag in made["tags"]] == [
        "Workflow runs",
        "Brand new things",
        "Operator",
        "Storage and triggers",
    ]
    assert made["tags"][0]["description"].endswith("Paths under /v1/workflow-runs")
    assert {path: one["get"]["tags"] for path, one in made["paths"].items()} == {
        "/v1/workflow-runs": ["Workflow runs"],
        "/v1/workflow-runs/{id}": ["Workflow runs"],
        "/v1/brand-new-things/{id}": ["Brand new things"],
        "/operator/keys": ["Operator"],
        "/api/private/things": ["Storage and triggers"],
    }
    assert set(made["components"]["securitySchemes"]) == {"control", "operator", "private"}


def test_every_credential_says_what_it_is_for(document: dict[str, Any]) -> None:
    for scheme in document["components"]["securitySchemes"].values():
        assert scheme["description"].startswith("For ")
