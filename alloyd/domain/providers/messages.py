"""Reads a caller's input, in any of the forms people write, into one list of messages; pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from alloyd.domain.providers.model import (
    EMBEDDING,
    TEXT,
    ImagePart,
    Message,
    Prompt,
    TextPart,
    ToolCall,
    canonical_modality,
)
from alloyd.domain.providers.params import read_params
from alloyd.errors import AlloydError, bad_request

MESSAGES_MAX: Final = 10_000
EMBEDDING_TEXTS_MAX: Final = 2048
_ROLES: Final[Mapping[str, str]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
IMAGE_TYPES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_IMAGE_PARTS: Final = ("image", "image_url", "input_image")


def read_prompt(modality: str, given: Any, params: Mapping[str, Any]) -> Prompt:
    """``given`` as a prompt of ``modality``, with its ``params`` checked. Raises ``bad_request`` with the field."""
    kind = canonical_modality(modality)
    checked = read_params(kind, params)
    if kind == TEXT:
        return Prompt(kind, checked, messages=_messages(given))
    if kind == EMBEDDING:
        return Prompt(kind, checked, texts=_texts(given))
    return Prompt(kind, checked, text=_text_of(given))


def _text_of(given: Any) -> str:
    """A text out of a string, ``{prompt}``, ``{text}``, ``{input}`` or the last message of the user."""
    if isinstance(given, Mapping):
        for name in ("prompt", "text", "input"):
            if isinstance(given.get(name), str):
                return _wanted_text(given[name])
    if isinstance(given, str):
        return _wanted_text(given)
    asked = [message.text for message in _messages(given) if message.role == "user"]
    return _wanted_text(asked[-1] if asked else "")


def _wanted_text(text: str) -> str:
    if not text.strip():
        raise bad_request("input: some text is wanted", "input")
    return text


def _texts(given: Any) -> tuple[str, ...]:
    if isinstance(given, Mapping):
        named = next((name for name in ("texts", "text", "input", "prompt") if name in given), None)
        if named is None:
            raise bad_request("input: a text, a list of texts, or {text} or {texts} is wanted", "input")
        given = given[named]
    listed = given if isinstance(given, list) else [given]
    if not listed or len(listed) > EMBEDDING_TEXTS_MAX:
        raise bad_request(f"input: 1 to {EMBEDDING_TEXTS_MAX} texts are wanted", "input")
    for number, text in enumerate(listed):
        if not isinstance(text, str) or not text:
            raise bad_request(f"input[{number}]: a text is wanted", f"input[{number}]")
    return tuple(listed)


def _messages(given: Any) -> tuple[Message, ...]:
    if isinstance(given, str):
        return (Message("user", (TextPart(_wanted_text(given)),)),)
    if isinstance(given, list):
        given = {"messages": given}
    if isinstance(given, Mapping) and given.get("type") in _IMAGE_PARTS:
        given = {"messages": [{"role": "user", "content": [given]}]}
    if not isinstance(given, Mapping):
        raise bad_request("input: a text, {prompt}, or {messages: [...]} is wanted", "input")
    first: tuple[Message, ...] = ()
    system = given.get("system")
    if system is not None:
        if not isinstance(system, str):
            raise bad_request("input.system: a text is wanted", "input.system")
        first = (Message("system", (TextPart(system),)),)
    if given.get("messages") is not None:
        return first + _listed_messages(given["messages"])
    for name in ("prompt", "text", "input"):
        if isinstance(given.get(name), str):
            return (*first, Message("user", (TextPart(_wanted_text(given[name])),)))
    raise bad_request("input: a text, {prompt}, or {messages: [...]} is wanted", "input")


def _listed_messages(listed: Any) -> tuple[Message, ...]:
    if not isinstance(listed, list) or not 0 < len(listed) <= MESSAGES_MAX:
        raise bad_request(f"input.messages: a list of 1 to {MESSAGES_MAX} messages is wanted", "input.messages")
    found: list[Message] = []
    for number, one in enumerate(listed):
        found += _message(one, f"input.messages[{number}]")
    if all(message.role == "system" for message in found):
        raise bad_request("input.messages: a message of the user is wanted", "input.messages")
    return tuple(found)


def _message(given: Any, place: str) -> list[Message]:
    """One message; one with tool results among its parts becomes several, a tool's message each."""
    if not isinstance(given, Mapping):
        raise bad_request(f"{place}: an object with role and content is wanted", place)
    role = _ROLES.get(given.get("role", "user")) if isinstance(given.get("role", "user"), str) else None
    if role is None:
        raise bad_request(f"{place}.role: system, user, assistant or tool is wanted", f"{place}.role")
    calls = list(_tool_calls(given.get("tool_calls"), f"{place}.tool_calls"))
    parts: list[TextPart | ImagePart] = []
    results: list[Message] = []
    content = given.get("content")
    for number, part in enumerate(_content(content, place)):
        _read_part(part, f"{place}.content[{number}]", parts, calls, results)
    if role == "tool":
        call_id = given.get("tool_call_id")
        if not isinstance(call_id, str) or not call_id:
            raise bad_request(f"{place}.tool_call_id: the id of the call is wanted", f"{place}.tool_call_id")
        _no_images(parts, place)
        return [Message("tool", tuple(parts), tool_call_id=call_id)]
    if calls and role != "assistant":
        raise bad_request(f"{place}: only the assistant calls tools", place)
    if role != "user":
        _no_images(parts, place)
    if results and not parts:
        return results
    if not parts and not calls and role == "assistant":
        return results  # a turn in which it had nothing to say, as callers keep it
    if not parts and not calls:
        raise bad_request(f"{place}.content: some content is wanted", f"{place}.content")
    return [*results, Message(role, tuple(parts), tuple(calls))]


def _content(content: Any, place: str) -> list[Any]:
    if content is None:
        return []
    if isinstance(content, str):
        return [content] if content else []
    if isinstance(content, list):
        return content
    if isinstance(content, Mapping):  # one part, without a list around it
        return [content]
    raise bad_request(f"{place}.content: a text or a list of parts is wanted", f"{place}.content")


def _read_part(
    part: Any, place: str, parts: list[TextPart | ImagePart], calls: list[ToolCall], results: list[Message]
) -> None:
    if isinstance(part, str):
        parts.append(TextPart(part))
        return
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in ("text", "input_text", "output_text") and isinstance(part.get("text"), str):
        parts.append(TextPart(part["text"]))
    elif kind in _IMAGE_PARTS:
        parts.append(_image(part, place))
    elif kind == "tool_use":
        calls.append(_tool_call(part, place))
    elif kind == "tool_result" and isinstance(part.get("tool_use_id"), str):
        inner: list[TextPart | ImagePart] = []
        for number, one in enumerate(_content(part.get("content"), place)):
            _read_part(one, f"{place}.content[{number}]", inner, [], [])
        _no_images(inner, place)
        results.append(Message("tool", tuple(inner), tool_call_id=part["tool_use_id"]))
    else:
        raise _bad_part(place)


def _bad_part(place: str) -> AlloydError:
    return bad_request(f"{place}: a part of type text, image, tool_use or tool_result is wanted", place)


def _no_images(parts: list[TextPart | ImagePart], place: str) -> None:
    if any(isinstance(part, ImagePart) for part in parts):
        raise bad_request(f"{place}: images are taken in messages of the user only", place)


def _image(part: Mapping[str, Any], place: str) -> ImagePart:
    source = part.get("source") if isinstance(part.get("source"), Mapping) else part
    assert isinstance(source, Mapping)
    url = source.get("url", source.get("image_url"))
    if isinstance(url, Mapping):
        url = url.get("url")
    data, media_type = source.get("data"), source.get("media_type", source.get("mime_type"))
    if isinstance(url, str) and url.startswith("data:"):
        head, _, data = url.partition(",")
        media_type, _, encoding = head.removeprefix("data:").partition(";")
        if encoding != "base64":
            raise bad_request(f"{place}: a data URL in base64 is wanted", place)
        url = None
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        return ImagePart(url=url)
    if not isinstance(data, str) or not isinstance(media_type, str) or media_type not in IMAGE_TYPES:
        wanted = "an image by url (http or https), or data in base64 with media_type"
        raise bad_request(f"{place}: {wanted} (png, jpeg, gif or webp) is wanted", place)
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise bad_request(f"{place}: the image's data is not base64", place) from None
    return ImagePart(media_type=media_type, data=data)


def _tool_calls(given: Any, place: str) -> tuple[ToolCall, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise bad_request(f"{place}: a list is wanted", place)
    return tuple(_tool_call(one, f"{place}[{number}]") for number, one in enumerate(given))


def _tool_call(given: Any, place: str) -> ToolCall:
    if not isinstance(given, Mapping):
        raise bad_request(f"{place}: an object with id, name and arguments is wanted", place)
    inner = given.get("function") if isinstance(given.get("function"), Mapping) else given
    assert isinstance(inner, Mapping)
    call_id, name = given.get("id"), inner.get("name")
    if not isinstance(call_id, str) or not call_id or not isinstance(name, str) or not name:
        raise bad_request(f"{place}: an object with id, name and arguments is wanted", place)
    arguments = inner.get("arguments", inner.get("input", {}))
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments).decode()
    return ToolCall(call_id, name, arguments or "{}")
