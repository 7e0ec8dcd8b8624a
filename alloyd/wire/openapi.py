"""The OpenAPI 3.1 document of all surfaces, made from the routes that check the requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from alloyd.wire.paging import PageLimits, PageQuery
from alloyd.wire.route import ANY_TYPE, OPERATOR, PUBLIC, SIGNED_IN, WEBSOCKET, Route
from alloyd.wire.surface import BoundRoute, Surface

OPENAPI_VERSION = "3.1.0"

_SCHEMAS = "#/components/schemas/"
_PARAMETER = re.compile(r"\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::[^{}]*(?:\{[^{}]*\}[^{}]*)*)?\}")
# What a decoded segment of a path, and a value of a query, must not hold on any route.
_SEGMENT = {"type": "string", "minLength": 1, "pattern": r"^[^/\x00-\x1f\x7f]+$"}
_REST_OF_PATH = {"type": "string", "minLength": 1, "pattern": r"^[^\x00-\x1f\x7f]+$"}
_QUERY_TEXT = r"^[^\x00\ufffd]*$"
# A file may be anything, and an event stream is no one text.
_STREAM_SCHEMAS: Mapping[str, dict[str, Any]] = {
    ANY_TYPE: {},
    "text/event-stream": {"description": "Server-sent events: each has `data`, most have `event` and `id` as well."},
}
_REASONS = {
    400: "The request is wrong; the message names the field",
    401: "No valid credential of this surface",
    403: "The role or the scopes do not allow it",
    404: "Not there, or in another organization",
    409: "The present state forbids it",
    413: "Larger than allowed",
    416: "No such range",
    422: "Well formed, but it cannot run",
    429: "Too many; Retry-After says when to try again",
    500: "An internal error; the log has it under the request id",
    502: "The other side failed",
    503: "Not usable now; Retry-After says when to try again",
}
_REQUEST_ID = {
    "X-Request-Id": {"description": "As given in the request if valid, else made here", "schema": {"type": "string"}}
}


def build_document(
    bound_routes: Sequence[BoundRoute], version: str, page_limits: PageLimits | None = None
) -> dict[str, Any]:
    """The document for ``bound_routes``: every path, parameter, body, answer, credential and permission.

    ``page_limits`` are those of this installation's lists. Surfaces that are no API are left out.
    """
    bound_routes = [bound for bound in bound_routes if bound.surface.described]
    limits, links = page_limits or PageLimits(), _links_by_stem(bound_routes)
    types = _types_of(bound_routes)
    described, components = msgspec.json.schema_components(
        types, schema_hook=lambda _type: {}, ref_template=_SCHEMAS + "{name}"
    )
    schemas = {id(kind): schema for kind, schema in zip(types, described, strict=True)}
    surfaces = list({bound.surface.name: bound.surface for bound in bound_routes}.values())
    paths: dict[str, dict[str, Any]] = {}
    for bound in bound_routes:
        described_operation = _Operation(bound, schemas, components, limits).describe()
        if bound.route.method == "POST" and bound.path in links and _has_id(bound.route.output):
            status = str(bound.route.status)
            described_operation["responses"][status]["links"] = links[bound.path]
        paths.setdefault(_path_of(bound), {})[bound.route.method.lower()] = described_operation
    document: dict[str, Any] = {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "alloyd",
            "version": version,
            "summary": "Files, durable workflows, keys and live events in one daemon",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": _headings(bound_routes),
        "paths": dict(sorted(paths.items())),
    }
    errors = {_error_name(surface): surface.describe_error() for surface in surfaces}
    document["components"] = {
        "schemas": dict(sorted({**_reachable(document["paths"], components), **errors}.items())),
        "securitySchemes": _security_schemes(bound_routes),
    }
    return document


def render(document: Mapping[str, Any]) -> bytes:
    """The document as it is served and kept in the repository: indented, in a fixed order."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


class _Operation:
    """One route as an operation object."""

    def __init__(
        self, bound: BoundRoute, schemas: Mapping[int, Any], components: Mapping[str, Any], limits: PageLimits
    ) -> None:
        self._bound = bound
        self._limits = limits
        self._route = bound.route
        self._schemas = schemas
        self._components = components

    def describe(self) -> dict[str, Any]:
        bound, route = self._bound, self._route
        operation: dict[str, Any] = {
            "operationId": _operation_id(bound),
            "summary": route.summary,
            "tags": [bound.surface.heading_of(route).name],
            "x-permission": route.permission,
            "security": _security_of(bound),
        }
        parameters = [*self._path_parameters(), *self._query_parameters()]
        if parameters:
            operation["parameters"] = parameters
        body = self._request_body()
        if body is not None:
            operation["requestBody"] = body
        status = 101 if route.streams == WEBSOCKET else route.status
        also = {str(other): self._answer(route.also[other]) for other in sorted(route.also)}
        operation["responses"] = {str(status): self._success(), **also, **self._errors()}
        return operation

    def _path_parameters(self) -> Iterable[dict[str, Any]]:
        for match in _PARAMETER.finditer(self._route.path):
            schema = _REST_OF_PATH if ":" in match[0] else _SEGMENT
            yield {"name": match["name"], "in": "path", "required": True, "schema": schema}

    def _schema_of(self, kind: Any) -> dict[str, Any]:
        """The schema of ``kind`` itself, where the document only refers to it."""
        schema: dict[str, Any] = self._schemas[id(kind)]
        while "$ref" in schema:
            schema = self._components[schema["$ref"].removeprefix(_SCHEMAS)]
        return schema

    def _query_parameters(self) -> Iterable[dict[str, Any]]:
        query = self._route.query_told or self._route.query
        if query is None:
            return
        schema = self._schema_of(query)
        required = schema.get("required", ())
        credentials = {scheme.get("name") for scheme in self._bound.surface.stream_security.values()}
        for name, field in schema.get("properties", {}).items():
            if name in credentials:
                continue  # told as security
            parameter: dict[str, Any] = {"name": name, "in": "query", "schema": self._query_schema(name, field)}
            if name in required:
                parameter["required"] = True
            yield parameter

    def _query_schema(self, name: str, field: dict[str, Any]) -> dict[str, Any]:
        schema = _without_null(field)
        if name == "limit" and issubclass(self._route.query or object, PageQuery):
            return {**schema, "maximum": self._limits.limit_max, "default": self._limits.limit_default}
        if schema.get("type") == "string" and not {"pattern", "format", "enum", "anyOf"} & set(schema):
            return {**schema, "pattern": _QUERY_TEXT}
        return schema

    def _request_body(self) -> dict[str, Any] | None:
        route = self._route
        if route.body is not None:
            kind = route.body if route.body_told is None else route.body_told
            content = {route.request_media_type: {"schema": self._schemas[id(kind)]}}
            if route.form_schema is not None:
                content["multipart/form-data"] = {"schema": route.form_schema}
            # An empty body counts as {}, so where no field is required none needs to be sent.
            return {"required": bool(self._schema_of(kind).get("required")), "content": content}
        if route.raw or route.request_schema is not None:
            schema = route.request_schema if route.request_schema is not None else {}
            return {"required": True, "content": {route.request_media_type: {"schema": schema}}}
        return None

    def _success(self) -> dict[str, Any]:
        route = self._route
        if route.streams == WEBSOCKET:
            return {"description": "A WebSocket"}
        if route.status == 204:
            return {"description": "Done", "headers": _REQUEST_ID}
        if route.streams is None:
            return self._answer(route.output)
        stream = {route.streams: {"schema": _STREAM_SCHEMAS.get(route.streams, {"type": "string"})}}
        if route.output is None:
            return {"description": "Done", "headers": _REQUEST_ID, "content": stream}
        answer = self._answer(route.output)
        return {**answer, "content": {**answer["content"], **stream}}

    def _answer(self, output: Any) -> dict[str, Any]:
        schema = self._bound.surface.describe_output({} if output is None else self._schemas[id(output)])
        return {"description": "Done", "headers": _REQUEST_ID, "content": {"application/json": {"schema": schema}}}

    def _errors(self) -> dict[str, Any]:
        schema = {"$ref": _SCHEMAS + _error_name(self._bound.surface)}
        found = sorted({*_standing_errors(self._bound), *self._route.statuses} - {self._route.status})
        return {
            str(status): {
                "description": _REASONS.get(status, "Refused"),
                "headers": _REQUEST_ID,
                "content": {"application/json": {"schema": schema}},
            }
            for status in found
            if status >= 400
        }


def _headings(bound_routes: Iterable[BoundRoute]) -> list[dict[str, str]]:
    """Every heading, in the order of the first routes under them."""
    found: dict[str, str] = {}
    for bound in bound_routes:
        heading = bound.surface.heading_of(bound.route)
        found.setdefault(heading.name, heading.about)
    return [{"name": name, "description": about} for name, about in found.items()]


def _standing_errors(bound: BoundRoute) -> set[int]:
    """The errors that a route has by what it declares."""
    route = bound.route
    found = {400, 500}
    if route.permission != PUBLIC:
        found.add(401)
        if route.permission != SIGNED_IN:
            found.add(403)
    if _PARAMETER.search(route.path):
        found.add(404)
    if route.body is not None or route.raw:
        found.add(413)
    if route.method != "GET":
        found.add(503)  # the disk may be full
    if "organization_id" in {*_fields_of(route.query), *_fields_of(route.body), *_fields_of(route.body_told)}:
        found.add(404)
    if "idempotency_key" in _fields_of(route.body):
        found.add(409)  # the same key came with another body
    return found


def _fields_of(kind: Any) -> Sequence[str]:
    return getattr(kind, "__struct_fields__", ())


def _has_id(output: Any) -> bool:
    return "id" in _fields_of(output)


def _needs_body(route: Route) -> bool:
    """Whether the path alone does not say enough to ask for this."""
    fields = msgspec.structs.fields(route.body) if _fields_of(route.body) else ()
    return route.raw or any(one.required for one in fields)


def _links_by_stem(bound_routes: Iterable[BoundRoute]) -> dict[str, dict[str, Any]]:
    """For each path whose POST makes something: what can be done next with the ``id`` in its answer."""
    found: dict[str, dict[str, Any]] = {}
    for bound in bound_routes:
        stem, by_id, _rest = bound.path.partition("/{id}")
        pointer = bound.surface.output_pointer
        if by_id and pointer is not None and _PARAMETER.findall(bound.path) == ["id"] and not _needs_body(bound.route):
            name = _operation_id(bound)
            link = {"operationId": name, "parameters": {"id": f"$response.body#{pointer}/id"}}
            found.setdefault(stem, {})[name] = link
    return found


def _types_of(bound_routes: Iterable[BoundRoute]) -> list[Any]:
    found: dict[int, Any] = {}
    for bound in bound_routes:
        route = bound.route
        for kind in (route.query, route.query_told, route.body, route.body_told, route.output, *route.also.values()):
            if kind is not None:
                found[id(kind)] = kind
    return list(found.values())


def _path_of(bound: BoundRoute) -> str:
    return _PARAMETER.sub(lambda match: f"{{{match['name']}}}", bound.path.rstrip("/")) or "/"


def _operation_id(bound: BoundRoute) -> str:
    words = re.findall(r"[A-Za-z0-9]+", _PARAMETER.sub(lambda match: f"by_{match['name']}", bound.route.path))
    return "_".join([bound.surface.name.replace("-", "_"), bound.route.method.lower(), *words])


def _security_of(bound: BoundRoute) -> list[dict[str, list[str]]]:
    if bound.route.permission == PUBLIC:
        return []
    accepted: list[dict[str, list[str]]] = [{bound.surface.name: []}]
    if bound.takes_ticket:
        accepted.extend({name: []} for name in bound.surface.stream_security)
    return accepted


def _security_schemes(bound_routes: Iterable[BoundRoute]) -> dict[str, Any]:
    schemes: dict[str, Any] = {}
    for bound in bound_routes:
        if bound.route.permission in (PUBLIC, OPERATOR):
            continue
        schemes[bound.surface.name] = bound.surface.describe_security()
        if bound.takes_ticket:
            schemes.update(bound.surface.stream_security)
    for bound in bound_routes:
        if bound.route.permission == OPERATOR:
            schemes.setdefault(bound.surface.name, bound.surface.describe_security())
    return dict(sorted(schemes.items()))


def _error_name(surface: Surface) -> str:
    return f"{surface.name.capitalize()}Error"


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter of a query can be left out, but never be null."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if not choices:
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf" and not (key == "default" and value is None)}
    return {**choices[0], **rest} if len(choices) == 1 else {"anyOf": choices, **rest}


def _reachable(paths: Any, components: Mapping[str, Any]) -> dict[str, Any]:
    """The components that ``paths`` refer to: structs of queries are taken apart and not needed any more."""
    found: dict[str, Any] = {}
    waiting = [paths]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            name = str(value.get("$ref", "")).removeprefix(_SCHEMAS)
            if name in components and name not in found:
                found[name] = components[name]
                waiting.append(components[name])
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
    return found
