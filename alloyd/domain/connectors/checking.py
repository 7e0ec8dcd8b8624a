"""Reads a connector's definition and tells every fault of it with its place; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from alloyd.domain.connectors.model import (
    ACTIONS_MAX,
    PARAMETERS_MAX,
    PLACEHOLDER,
    Action,
    Auth,
    Definition,
    Fault,
    Parameter,
)
from alloyd.egress import EgressError
from alloyd.egress.hosts import parse_target
from alloyd.errors import AlloydError, Code

_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}\Z")
_LINE_END: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PLACE: Final = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?\$?\.?(?P<path>[^`]*)`)?$", re.DOTALL)
# What stands for a setting while a URL with settings is checked.
_SAMPLE: Final = {"label": "sample", "text": "sample", "header": "X-Sample", "url": "https://sample.example"}
_OWN_HEADERS: Final = frozenset({"authorization", "content-type", "content-length", "host", "cookie"})


def read_definition(raw: Any) -> Definition:
    """The definition that ``raw`` (JSON-like) is. Raises ``unprocessable`` with all faults and their places."""
    try:
        definition = msgspec.convert(raw, type=Definition)
    except msgspec.ValidationError as error:
        match = _PLACE.match(str(error))
        assert match is not None
        what = match["what"]
        raise unprocessable([Fault(match["path"] or "", what[:1].lower() + what[1:])]) from None
    faults = list(_faults(definition))
    if faults:
        raise unprocessable(faults)
    return definition


def unprocessable(faults: list[Fault]) -> AlloydError:
    """All ``faults`` in one error; the first one is its message."""
    first = faults[0]
    told = f"{first.path}: {first.message}" if first.path else first.message
    details = [{"path": fault.path, "message": fault.message} for fault in faults]
    return AlloydError(Code.UNPROCESSABLE, told, field=first.path or None, details=details)


def _faults(definition: Definition) -> Iterator[Fault]:
    for name in definition.settings:
        if not _KEY.match(name):
            yield Fault(f"settings.{name}", "a name is wanted: a-z, 0-9 and _")
    yield from _url_faults(definition, definition.base_url, "base_url")
    if not definition.auth:
        yield Fault("auth", "at least one way is wanted")
    kinds = [auth.kind for auth in definition.auth]
    for index, auth in enumerate(definition.auth):
        if auth.kind in kinds[:index]:
            yield Fault(f"auth[{index}].kind", f"{auth.kind} is there already")
        yield from _auth_faults(definition, auth, f"auth[{index}]")
    yield from _header_faults(definition.headers, "headers")
    if definition.idempotency_header is not None and not _TOKEN.match(definition.idempotency_header):
        yield Fault("idempotency_header", "is no name of a header")
    if not 1 <= len(definition.actions) <= ACTIONS_MAX:
        yield Fault("actions", f"1 to {ACTIONS_MAX} are wanted")
    keys = [action.key for action in definition.actions]
    for index, action in enumerate(definition.actions):
        place = f"actions[{index}]"
        if not _KEY.match(action.key):
            yield Fault(f"{place}.key", "a name is wanted: a-z, 0-9 and _")
        elif action.key in keys[:index]:
            yield Fault(f"{place}.key", f"{action.key} is there already")
        yield from _action_faults(definition, action, place)


def _url_faults(definition: Definition, url: str, place: str) -> Iterator[Fault]:
    unknown = [name for name in PLACEHOLDER.findall(url) if name not in definition.settings]
    if unknown:
        yield Fault(place, f"there is no setting {unknown[0]}")
        return
    if re.match(r"\{[a-z0-9_]+\}", url):
        name = PLACEHOLDER.findall(url)[0]
        if url != f"{{{name}}}" or definition.settings[name].kind != "url":
            yield Fault(place, "only a setting of the kind url may stand for the whole of it")
        return
    if not url.startswith(("https://", "http://")):
        yield Fault(place, "begins with https:// or http://")
        return
    authority = url.split("/", 3)[2]
    for name in PLACEHOLDER.findall(authority):
        if definition.settings[name].kind != "label" or not re.search(rf"\{{{name}\}}\.[a-z0-9-]+\.[a-z]", authority):
            yield Fault(place, f"{name}: in a host only a setting of the kind label, before a whole domain")
            return
    filled = PLACEHOLDER.sub(lambda match: _SAMPLE[definition.settings[match[1]].kind], url)
    try:
        target = parse_target(filled)
    except EgressError as error:
        yield Fault(place, error.message)
        return
    if place == "base_url" and (target.url.query_string or "#" in filled or url.endswith("/")):
        yield Fault(place, "has no query, no fragment and no slash at its end")


def _auth_faults(definition: Definition, auth: Auth, place: str) -> Iterator[Fault]:
    if auth.kind == "api_key":
        header = auth.header or ""
        named = PLACEHOLDER.fullmatch(header)
        if named is not None:
            setting = definition.settings.get(named[1])
            if setting is None or setting.kind != "header":
                yield Fault(f"{place}.header", "there is no setting of the kind header of that name")
        elif not _TOKEN.match(header):
            yield Fault(f"{place}.header", "the name of the header is wanted")
    if auth.kind == "oauth2":
        for name in ("authorize_url", "token_url"):
            url = getattr(auth, name)
            if url is None:
                yield Fault(f"{place}.{name}", "is required")
            else:
                yield from _url_faults(definition, url, f"{place}.{name}")
    if _LINE_END.search(auth.prefix + auth.scheme):
        yield Fault(place, "a line break can't be sent")


def _header_faults(headers: Mapping[str, str], place: str) -> Iterator[Fault]:
    for name, value in headers.items():
        if not _TOKEN.match(name) or name.lower() in _OWN_HEADERS:
            yield Fault(f"{place}.{name}", "is no header that can be set here")
        elif _LINE_END.search(value):
            yield Fault(f"{place}.{name}", "a line break can't be sent")


def _action_faults(definition: Definition, action: Action, place: str) -> Iterator[Fault]:
    if len(action.parameters) > PARAMETERS_MAX:
        yield Fault(f"{place}.parameters", f"at most {PARAMETERS_MAX}")
    yield from _header_faults(action.headers, f"{place}.headers")
    if not action.path.startswith("/") or action.path.startswith("//") or re.search(r"[?#\\\s]", action.path):
        yield Fault(f"{place}.path", "begins with one slash and has no query and no fragment")
    elif any(part in (".", "..") for part in action.path.split("/")):
        yield Fault(f"{place}.path", "must not go up")
    used = set(PLACEHOLDER.findall(action.path))
    in_path = {name for name, parameter in action.parameters.items() if parameter.in_ == "path"}
    for name in sorted(used - in_path - set(definition.settings)):
        yield Fault(f"{place}.path", f"there is no parameter and no setting {name}")
    for name in sorted(in_path - used):
        yield Fault(f"{place}.parameters.{name}", "the path does not name it")
    for name, parameter in action.parameters.items():
        yield from _parameter_faults(action, name, parameter, f"{place}.parameters.{name}")
    if action.constants and action.body == "none":
        yield Fault(f"{place}.constants", "the action has no body")
    if action.body != "none" and action.method == "GET":
        yield Fault(f"{place}.body", "GET has none")
    yield from _paging_faults(action, f"{place}.paging")


def _parameter_faults(action: Action, name: str, parameter: Parameter, place: str) -> Iterator[Fault]:
    if not _KEY.match(name):
        yield Fault(place, "a name is wanted: a-z, 0-9 and _")
    if parameter.in_ == "path" and (not parameter.required and parameter.default is None):
        yield Fault(f"{place}.required", "what stands in the path is required")
    if parameter.in_ == "path" and parameter.type in ("object", "array", "any"):
        yield Fault(f"{place}.type", "a single value is wanted in a path")
    if parameter.in_ == "body" and action.body == "none":
        yield Fault(f"{place}.in", "the action has no body")
    if parameter.in_ == "header" and (
        not _TOKEN.match(parameter.name or name) or (parameter.name or name).lower() in _OWN_HEADERS
    ):
        yield Fault(f"{place}.name", "is no header that can be set here")
    if parameter.style == "segments" and parameter.in_ != "path":
        yield Fault(f"{place}.style", "segments are of a path")
    if parameter.whole and (parameter.in_ != "body" or action.body != "json"):
        yield Fault(f"{place}.whole", "only a JSON body can be a whole")


def _paging_faults(action: Action, place: str) -> Iterator[Fault]:
    paging = action.paging
    if paging.kind in ("cursor", "page", "offset") and paging.param is None:
        yield Fault(f"{place}.param", "is required")
    if paging.kind == "cursor" and paging.next is None:
        yield Fault(f"{place}.next", "is required")
    if paging.limit is not None and paging.limit not in action.parameters:
        yield Fault(f"{place}.limit", "there is no such parameter")
