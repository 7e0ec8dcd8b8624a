"""Assets in a caller's input: where they stand, and what a model is shown in their place; pure."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from alloyd.domain.providers.messages import IMAGE_TYPES
from alloyd.errors import AlloydError, Code, bad_request
from alloyd.kit.ids import is_uuid

ASSET: Final = "asset_id"
OBJECT: Final = "object_key"

ATTACHED_MAX: Final = 32
ATTACHED_BYTES_MAX: Final = 8 * 1024 * 1024  # all of one input together; a model is sent a third more
_DEPTH_MAX: Final = 64
# What a model wrote, or is told that it wrote: the names in there are a tool's own.
_OF_TOOLS: Final = frozenset({"tool_calls", "tools", "arguments"})


@dataclass(frozen=True, slots=True)
class Attached:
    """One ``{"asset_id"}`` in an input. ``place`` is its path: ``input.messages[0].content[1]``."""

    place: str
    given: Mapping[str, Any]

    @property
    def asset_id(self) -> str:
        """Which asset it names, in lower case. Raises ``bad_request`` when it is no id."""
        named = self.given[ASSET]
        if not isinstance(named, str) or not is_uuid(named.lower()):
            raise bad_request(f"{self.field}: the id of an asset is wanted", self.field)
        return named.lower()

    @property
    def field(self) -> str:
        """The path of the id itself."""
        return f"{self.place}.{ASSET}"


def list_attached(given: Any) -> list[Attached]:
    """Every object with ``asset_id`` in ``given``, in order. Raises ``bad_request`` for more than ``ATTACHED_MAX``."""
    found: list[Attached] = []

    def note(one: Attached) -> Any:
        found.append(one)
        if len(found) > ATTACHED_MAX:
            raise bad_request(f"{one.place}: at most {ATTACHED_MAX} assets in one input", one.place)
        return one.given

    replace_attached(given, note)
    return found


def replace_attached(given: Any, replacement: Callable[[Attached], Any]) -> Any:
    """``given`` with ``replacement`` of each object that has ``asset_id``; what tools were called with stays."""
    return _replaced(given, "input", replacement, 0)


def _replaced(given: Any, place: str, replacement: Callable[[Attached], Any], depth: int) -> Any:
    if depth > _DEPTH_MAX:
        return given
    if isinstance(given, list):
        return [_replaced(one, f"{place}[{number}]", replacement, depth + 1) for number, one in enumerate(given)]
    if not isinstance(given, Mapping) or given.get("type") == "tool_use":
        return given
    if ASSET in given:
        return replacement(Attached(place, given))
    return {
        name: value if name in _OF_TOOLS else _replaced(value, f"{place}.{name}", replacement, depth + 1)
        for name, value in given.items()
    }


def too_many_bytes(place: str) -> AlloydError:
    """The assets of an input are too large together."""
    message = f"{place}: the assets of one input have more than {ATTACHED_BYTES_MAX} bytes together"
    return AlloydError(Code.TOO_LARGE, message, field=place)


def to_content(content_type: str, content: bytes, place: str) -> Any:
    """What a model is shown of a file: a picture as a part, everything else as its text.

    Raises ``bad_request`` with ``place`` for what is neither.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in IMAGE_TYPES:
        return {"type": "image", "media_type": media_type, "data": base64.b64encode(content).decode()}
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        wanted = "text in UTF-8, or an image (png, jpeg, gif or webp), is wanted"
        raise bad_request(f"{place}: {wanted}; the asset is {media_type}", place)
    return text
