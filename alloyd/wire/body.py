"""Reads and checks what comes in: JSON bodies and query strings, each fault named by its field."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

import msgspec
from aiohttp import web

from alloyd.errors import AlloydError, Code, bad_request

# The body of a call whose handler reads it itself, as a form.
FORM: Final = object()

_FIELD = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`")


async def read_bytes(request: web.Request, bytes_max: int, idle_timeout_s: float) -> bytes:
    """The whole body. 413 over ``bytes_max``, before reading when the length is declared; 400 when it breaks off.

    ``idle_timeout_s`` bounds the wait for each next piece.
    """
    declared = request.content_length
    if declared is not None and declared > bytes_max:
        raise too_large("body", bytes_max)
    if not request.can_read_body:
        return b""
    content = request.content
    if content.is_eof():  # it came with the headers, as small bodies do
        data = content.read_nowait()
        if len(data) > bytes_max:
            raise too_large("body", bytes_max)
        return data
    pieces: list[bytes] = []
    size = 0
    try:
        while True:
            if content.total_bytes and content.is_eof():  # it is all here already: no timer for it
                piece = await content.readany()
            else:
                async with asyncio.timeout(idle_timeout_s):
                    piece = await content.readany()
            if not piece:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            size += len(piece)
            if size > bytes_max:
                raise too_large("body", bytes_max)
            pieces.append(piece)
    except TimeoutError:
        raise bad_request(f"body: nothing came for {idle_timeout_s:g} s", "body") from None
    except (web.RequestPayloadError, asyncio.IncompleteReadError, ConnectionError) as error:
        raise bad_request("body: broken off or badly encoded", "body") from error


def too_large(field: str, bytes_max: int) -> AlloydError:
    """413 for ``field``."""
    return AlloydError(Code.TOO_LARGE, f"{field}: larger than {bytes_max} bytes", field=field)


def check_json_type(request: web.Request) -> None:
    """Refuse a body that says it is something else than JSON."""
    given = request.headers.get("Content-Type")
    if given is None:
        return
    kind = given.partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise bad_request(f"Content-Type: application/json is wanted, not {kind[:100]!r}", "Content-Type")


def is_form(request: web.Request) -> bool:
    """Whether the request has a body that says it is multipart/form-data."""
    given = request.headers.get("Content-Type", "")
    return given[:19].lower() == "multipart/form-data" and request.can_read_body


def decode_body(request: web.Request, data: bytes, decoder: msgspec.json.Decoder[Any], depth_max: int) -> Any:
    """:func:`decode_json` of a request's whole body, which must not say that it is something else."""
    if data != b"{}":  # what an empty one counts as
        check_json_type(request)
    return decode_json(data, decoder, depth_max)


def decode_json(data: bytes, decoder: msgspec.json.Decoder[Any], depth_max: int) -> Any:
    """``data`` as the decoder's type. Raises ``bad_request`` that names the field at fault."""
    try:
        if not data.isascii():
            data.decode()  # msgspec does not look into members that the type does not name
        value = decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from None
    except msgspec.DecodeError as error:
        raise bad_request(f"body: malformed JSON: {error}", "body") from None
    except UnicodeDecodeError:
        raise bad_request("body: not valid UTF-8", "body") from None
    except RecursionError:
        raise bad_request(f"body: nested deeper than {depth_max}", "body") from None
    if data.count(b"[") + data.count(b"{") > depth_max:
        _check_depth(data, depth_max)
    return value


def _check_depth(data: bytes, depth_max: int) -> None:
    level = [msgspec.json.decode(data)]
    for _ in range(depth_max):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return
    raise bad_request(f"body: nested deeper than {depth_max}", "body")


def decode_query(request: web.Request, kind: type, skip_empty: bool = False) -> Any:
    """The query string as ``kind``; a repeated parameter counts once, the first; unknown ones are ignored.

    With ``skip_empty`` a parameter without a value counts as one that is left out.
    """
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if "\x00" in value or "\ufffd" in value:
            raise bad_request(f"{name}: not valid text", name)
        if value or not skip_empty:
            given.setdefault(name, value)
    try:
        query: Any = msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from None
    for name in [name for name, value in given.items() if value.lower() == "null"]:
        # To msgspec this word is no value at all, so `status=null` would show everything.
        if name in kind.__struct_encode_fields__ and _value_of(query, name) is None:  # type: ignore[attr-defined]
            raise bad_request(f"{name}: must not be null; leave it out instead", name)
    return query


def _value_of(query: Any, name: str) -> Any:
    names = dict(zip(query.__struct_encode_fields__, query.__struct_fields__, strict=True))
    return getattr(query, names[name])


def _named(text: str) -> AlloydError:
    """msgspec's words, with the field in front: ``nodes[0].key: expected a string``."""
    match = _FIELD.match(text)
    what, path = (match["what"], match["path"] or "") if match else (text, "")
    field = path.removeprefix("$").removeprefix(".").replace("[...]", "[]")
    missing = _MISSING.search(what)
    if missing:
        field = f"{field}.{missing['name']}" if field else missing["name"]
        return bad_request(f"{field}: required", field)
    field = field or "body"
    return bad_request(f"{field}: {what[:1].lower()}{what[1:]}", field)
