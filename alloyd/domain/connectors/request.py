"""From an action and its parameters to the request that is sent: to the declared host, and nowhere else; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode, urljoin

import msgspec

from alloyd.domain.connectors.model import PLACEHOLDER, Action, Definition, Parameter, Setting
from alloyd.egress import EgressError
from alloyd.egress.hosts import parse_target
from alloyd.errors import AlloydError, bad_request

SETTING_CHARS_MAX: Final = 2048
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z", re.IGNORECASE)
_TEXT: Final = re.compile(r"[A-Za-z0-9._~@:+-]{1,200}\Z")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")
_RESERVED_HEADERS: Final = frozenset({"host", "content-length", "content-type", "cookie", "transfer-encoding"})
_DEPTH_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request without its credential."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None


def check_settings(definition: Definition, given: Mapping[str, str]) -> dict[str, str]:
    """What was given, with the defaults. Raises ``bad_request`` naming ``settings.<name>``."""
    for name in given:
        if name not in definition.settings:
            raise bad_request(f"settings.{name}: there is no such setting", f"settings.{name}")
    found: dict[str, str] = {}
    for name, setting in definition.settings.items():
        value = given.get(name, setting.default)
        if value is None:
            if setting.required:
                raise bad_request(f"settings.{name}: is required ({setting.title})", f"settings.{name}")
            continue
        fault = _setting_fault(setting, value)
        if fault is not None:
            raise bad_request(f"settings.{name}: {fault}", f"settings.{name}")
        found[name] = value.rstrip("/") if setting.kind == "url" else value
    return found


def _setting_fault(setting: Setting, value: str) -> str | None:
    if len(value) > SETTING_CHARS_MAX:
        return f"at most {SETTING_CHARS_MAX} characters"
    if setting.kind == "label":
        return None if _LABEL.match(value) else "one label of a host name is wanted: letters, digits and hyphens"
    if setting.kind == "header":
        sound = _TOKEN.match(value) and value.lower() not in _RESERVED_HEADERS
        return None if sound else "is no name of a header that can be set"
    if setting.kind == "url":
        try:
            target = parse_target(value)
        except EgressError as error:
            return error.message
        return "has no query and no fragment" if target.url.query_string or "#" in value or "?" in value else None
    return None if _TEXT.match(value) and value not in (".", "..") else "letters, digits and ._~@:+- are wanted"


def fill_url(template: str, settings: Mapping[str, str]) -> str:
    """``template`` with its settings, which are sound for where they stand."""
    return PLACEHOLDER.sub(lambda match: settings[match[1]], template)


def origin_of(definition: Definition, settings: Mapping[str, str]) -> tuple[str, str, int]:
    """Scheme, host and port that requests of this connector go to: the only ones that see its credential."""
    return parse_target(fill_url(definition.base_url, settings)).origin


def prepare(
    definition: Definition,
    action: Action,
    settings: Mapping[str, str],
    params: Mapping[str, Any],
    more_query: Mapping[str, str] | None = None,
    more_body: Mapping[str, str] | None = None,
) -> Prepared:
    """The request. ``params`` fit :func:`params_schema`; the rest asks for a page.

    Raises ``bad_request`` naming ``params.<name>``.
    """
    values = {
        name: params.get(name, parameter.default)
        for name, parameter in action.parameters.items()
        if name in params or parameter.default is not None
    }
    path = _fill_path(action, settings, values)
    query: list[tuple[str, str]] = []
    headers = [*definition.headers.items(), *action.headers.items()]
    for name, parameter, value in _placed(action, values, "query"):
        query.extend(_pairs(parameter.name or name, value, parameter.style, f"params.{name}"))
    for name, parameter, value in _placed(action, values, "header"):
        headers.append((parameter.name or name, text_of(value)))
    query.extend((more_query or {}).items())
    body, content_type = _body(action, values, more_body or {})
    if content_type is not None:
        headers.append(("Content-Type", content_type))
    base = fill_url(definition.base_url, settings)
    url = base + path + (f"?{urlencode(query)}" if query else "")
    if parse_target(url).origin != origin_of(definition, settings):
        raise bad_request("params: the request would leave the connector's host", "params")
    return Prepared(action.method, url, tuple(headers), body)


def prepare_link(definition: Definition, action: Action, settings: Mapping[str, str], link: str) -> Prepared:
    """The request for the next page that an answer named. Raises ``bad_request`` for one on another host."""
    origin = origin_of(definition, settings)
    url = urljoin(fill_url(definition.base_url, settings) + "/", link)
    try:
        target = parse_target(url)
    except EgressError as error:
        raise bad_request(f"cursor: {error.message}", "cursor") from None
    if target.origin != origin:
        raise bad_request("cursor: leads to another host than the connector's", "cursor")
    return Prepared(action.method, url, (*definition.headers.items(), *action.headers.items()), None)


def text_of(value: Any) -> str:
    """A single value as it stands in a path, a query, a header or a form; an object as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return msgspec.json.encode(value).decode()


def _placed(action: Action, values: Mapping[str, Any], place: str) -> Iterator[tuple[str, Parameter, Any]]:
    for name, parameter in action.parameters.items():
        if parameter.in_ == place and name in values:
            yield name, parameter, values[name]


def _fill_path(action: Action, settings: Mapping[str, str], values: Mapping[str, Any]) -> str:
    def fill(match: re.Match[str]) -> str:
        name = match[1]
        parameter = action.parameters.get(name)
        if parameter is None or parameter.in_ != "path":
            return quote(settings[name], safe="")
        text = text_of(values.get(name))
        parts = text.removeprefix("/").split("/") if parameter.style == "segments" else [text]
        # A dot that is percent-encoded is still one to many servers.
        if any(part in (".", "..") for part in parts) or (parameter.style != "segments" and not text):
            raise bad_request(f"params.{name}: can't stand in a path", f"params.{name}")
        try:
            return "/".join(quote(part, safe="") for part in parts)
        except UnicodeEncodeError:
            raise bad_request(f"params.{name}: is no text", f"params.{name}") from None

    return PLACEHOLDER.sub(fill, action.path)


def _pairs(name: str, value: Any, style: str | None, place: str) -> list[tuple[str, str]]:
    if value is None:
        return []
    if style == "spread" and isinstance(value, Mapping):
        return [pair for key, inner in value.items() for pair in _pairs(str(key), inner, "repeat", place)]
    if style == "brackets":
        return list(_bracketed(name, value, place, _DEPTH_MAX))
    if isinstance(value, list):
        if style == "comma":
            return [(name, ",".join(text_of(item) for item in value))]
        return [(name, text_of(item)) for item in value]
    return [(name, text_of(value))]


def _bracketed(name: str, value: Any, place: str, depth: int) -> Iterator[tuple[str, str]]:
    if not depth:
        raise bad_request(f"{place}: at most {_DEPTH_MAX} levels", place)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _bracketed(f"{name}[{key}]", inner, place, depth - 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _bracketed(f"{name}[{index}]", inner, place, depth - 1)
    elif value is not None:
        yield name, text_of(value)


def _body(action: Action, values: Mapping[str, Any], more: Mapping[str, str]) -> tuple[bytes | None, str | None]:
    if action.body == "none":
        return None, None
    placed = list(_placed(action, values, "body"))
    if action.body == "form":
        pairs = [(name, text_of(value)) for name, value in action.constants.items()]
        for name, parameter, value in placed:
            pairs.extend(_pairs(parameter.name or name, value, parameter.style, f"params.{name}"))
        return urlencode([*pairs, *more.items()]).encode(), "application/x-www-form-urlencoded"
    for _name, parameter, value in placed:
        if parameter.whole:
            return msgspec.json.encode(value), "application/json; charset=utf-8"
    document = {**action.constants, **{parameter.name or name: value for name, parameter, value in placed}, **more}
    return msgspec.json.encode(document), "application/json; charset=utf-8"


def require_action(definition: Definition, key: str) -> Action:
    """The action called ``key``. Raises ``not_found``-like ``bad_request`` naming ``action``."""
    action = definition.find_action(key)
    if action is None:
        raise _no_action(definition, key)
    return action


def _no_action(definition: Definition, key: str) -> AlloydError:
    known = ", ".join(action.key for action in definition.actions)
    return bad_request(f"action: {definition.name} has no action {key!r}; it has {known}", "action")
