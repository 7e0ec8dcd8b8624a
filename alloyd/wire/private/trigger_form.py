"""A trigger by multipart/form-data: its fields become the payload's members, its files input objects of the run."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from alloyd.domain.objects.model import NewObject, StoredObject
from alloyd.domain.objects.service import ObjectService
from alloyd.errors import AlloydError, Code, bad_request
from alloyd.principal import Principal
from alloyd.wire.body import decode_json, too_large
from alloyd.wire.multipart import FormReader, Part

# Fields of these names that hold a JSON object are the payload itself, not a member of it.
MERGED: Final = frozenset({"payload", "data"})
_NAME_CHARS_MAX: Final = 100  # of a part's name in an error
_DECODER: Final = msgspec.json.Decoder(Any)

FORM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Each field is a member of the payload as text, and each file as an object "
    "{object_key, url, filename, size, content_type}; a list where a name repeats.",
    "properties": {
        name: {"type": "string", "description": "A JSON object here is merged into the payload."}
        for name in sorted(MERGED)
    },
    "additionalProperties": {"type": "string"},
}


class TriggerForm:
    """Reads one form. ``fields_bytes_max`` bounds its texts together, ``file_bytes_max`` each file."""

    def __init__(self, objects: ObjectService, fields_bytes_max: int, file_bytes_max: int, depth_max: int) -> None:
        self._objects = objects
        self._fields_bytes_max = fields_bytes_max
        self._file_bytes_max = file_bytes_max
        self._depth_max = depth_max
        self._fields_bytes = 0
        self._merged: dict[str, Any] = {}
        self._members: dict[str, list[Any]] = {}
        self._asked: dict[str, list[Any]] = {}

    async def read(self, form: FormReader, who: Principal, workflow_id: str, run_id: str) -> bytes:
        """Read all parts, and store the files for that run; the payload as JSON.

        Raises ``bad_request`` and ``too_large`` naming the part, ``unavailable``. What was stored by then stays: the
        caller deletes it. Emits ``object.created`` for each file.
        """
        async for part in form.parts():
            if not part.name:
                raise bad_request("body: a part has an empty name", "body")
            if part.filename is None:
                await self._read_field(part)
            elif part.filename == "":
                await self._skip_no_file(part)
            else:
                await self._read_file(part, who, workflow_id, run_id)
        for name in self._members:
            if name in self._merged:
                shown = _shown(name)
                raise bad_request(f"{shown}: given as a part, and as a member of the payload too", shown)
        payload = {name: _one_or_all(values) for name, values in self._members.items()}
        encoded = msgspec.json.encode(self._merged | payload)
        if len(encoded) > self._fields_bytes_max:
            raise too_large("body", self._fields_bytes_max)
        return encoded

    def digest(self, params: dict[str, str]) -> str:
        """SHA-256 in hex of what the form asks: the same whatever its boundary, or where its files were stored."""
        asked = [params, self._merged, self._asked]
        return hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()

    async def _read_field(self, part: Part) -> None:
        name = _shown(part.name)
        pieces: list[bytes] = []
        self._fields_bytes += len(part.name.encode())
        async for chunk in part.chunks():
            self._fields_bytes += len(chunk)
            if self._fields_bytes > self._fields_bytes_max:
                raise too_large(name, self._fields_bytes_max)
            pieces.append(chunk)
        content = b"".join(pieces)
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise bad_request(f"{name}: not valid UTF-8", name) from None
        if part.name in MERGED and text.lstrip().startswith("{"):
            self._merge(part.name, content)
        else:
            self._add(part.name, text, text)

    def _merge(self, name: str, content: bytes) -> None:
        try:
            value: dict[str, Any] = decode_json(content, _DECODER, self._depth_max)
        except AlloydError as error:
            raise _of_part(error, name) from None
        for member in value:
            if member in self._merged:
                raise bad_request(f"{name}: {_shown(member)} is given twice", name)
        self._merged |= value

    async def _skip_no_file(self, part: Part) -> None:
        """A browser sends a file that nobody chose as an empty one without a name."""
        async for _chunk in part.chunks():
            raise bad_request(f"{_shown(part.name)}: has no filename", _shown(part.name))

    async def _read_file(self, part: Part, who: Principal, workflow_id: str, run_id: str) -> None:
        new = NewObject(
            "input",
            part.filename or "",
            part.content_type,
            workflow_id,
            run_id,
            started_by=who.id,
            bytes_max=self._file_bytes_max,
        )
        try:
            stored = await self._objects.put(who, new, part.chunks())
        except AlloydError as error:
            raise _of_part(error, _shown(part.name)) if error.field in ("file", "filename") else error from None
        self._add(part.name, self._objects.reference(stored), _asked_for(stored))

    def _add(self, name: str, value: Any, asked: Any) -> None:
        self._members.setdefault(name, []).append(value)
        self._asked.setdefault(name, []).append(asked)


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _asked_for(stored: StoredObject) -> dict[str, Any]:
    """A file but for its key, which is another at each try."""
    return {"filename": stored.filename, "content_type": stored.content_type, "sha256": stored.sha256}


def _shown(name: str) -> str:
    return name[:_NAME_CHARS_MAX]


def _of_part(error: AlloydError, name: str) -> AlloydError:
    """The same fault, told of the part."""
    if error.code not in (Code.BAD_REQUEST, Code.TOO_LARGE):
        return error
    _field, _, what = error.message.partition(": ")
    return AlloydError(error.code, f"{name}: {what}", field=name)
