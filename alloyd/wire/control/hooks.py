"""`/v1/hooks/{workflow_id}`: signed requests of others, each of which starts a workflow once."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from alloyd.domain.hooks.model import told_headers
from alloyd.domain.hooks.service import HookService
from alloyd.errors import bad_request
from alloyd.kit.clock import rfc3339
from alloyd.wire import body as bodies
from alloyd.wire.route import PUBLIC, Call, Route

FORM_FIELDS_MAX: Final = 1000
_FORM: Final = "application/x-www-form-urlencoded"
_ANY_JSON: Final = msgspec.json.Decoder()


class HookAnswer(msgspec.Struct, frozen=True):
    """The run that the request started, or that an earlier copy of it did."""

    run_id: str
    status: str
    queued_at: str


class Hooks:
    """The handler. ``bytes_max`` bounds the body and what becomes the run's payload."""

    def __init__(self, hooks: HookService, bytes_max: int, read_timeout_s: float, depth_max: int) -> None:
        self._hooks = hooks
        self._bytes_max = bytes_max
        self._read_timeout_s = read_timeout_s
        self._depth_max = depth_max

    async def post_hook(self, call: Call) -> HookAnswer | web.Response:
        """Workflows contract: trigger ``webhook``. The signature is checked over the raw body before it is parsed."""
        request = call.request
        raw = await bodies.read_bytes(request, self._bytes_max, self._read_timeout_s)
        headers = _headers(request)
        hook = await self._hooks.verify(call.param("workflow_id"), headers, raw)
        body, encoding = self._parse(raw, headers.get("content-type", ""))
        if hook.scheme == "slack" and isinstance(body, dict) and body.get("type") == "url_verification":
            return web.Response(text=str(body.get("challenge", "")))
        payload = msgspec.json.encode(
            {
                "body": body,
                "encoding": encoding,
                "headers": told_headers(headers),
                "query": _pairs(list(request.query.items())),
                "method": request.method,
            }
        )
        if len(payload) > self._bytes_max:
            raise bodies.too_large("body", self._bytes_max)
        started = await self._hooks.start(hook, payload)
        return HookAnswer(started.run_id, "queued", rfc3339(started.queued_at))

    def _parse(self, raw: bytes, content_type: str) -> tuple[Any, str]:
        kind = content_type.partition(";")[0].strip().lower()
        if kind == "application/json" or kind.endswith("+json"):
            return (bodies.decode_json(raw, _ANY_JSON, self._depth_max) if raw else None), "json"
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            return base64.b64encode(raw).decode(), "base64"
        if kind != _FORM:
            return text, "text"
        try:
            return _pairs(parse_qsl(text, keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX)), "form"
        except ValueError:
            raise bad_request(f"body: at most {FORM_FIELDS_MAX} fields", "body") from None


def _headers(request: web.Request) -> dict[str, str]:
    """By lower-case names; what came several times joined, so that no second signature can hide."""
    joined: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return {name: value.encode("utf-8", "replace").decode() for name, value in joined.items()}


def _pairs(pairs: list[tuple[str, str]]) -> Mapping[str, str | list[str]]:
    """By name; a list for what came several times."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def routes(hooks: HookService, *, bytes_max: int, read_timeout_s: float, depth_max: int) -> list[Route]:
    """The route of this file."""
    handlers = Hooks(hooks, bytes_max, read_timeout_s, depth_max)
    return [
        Route(
            "POST",
            "/hooks/{workflow_id}",
            handlers.post_hook,
            PUBLIC,
            "Start a workflow by its webhook trigger; the signature is the credential",
            output=HookAnswer,
            status=202,
            statuses=(401, 404, 413, 429, 503),
            raw=True,
            request_media_type="application/json",
            request_schema={},
            audit_as="workflow.run",
        )
    ]
