"""Takes an upload's parts as they come: the file's bytes go to the disk, the rest is small."""

from __future__ import annotations

import re

from alloyd.domain.storage.model import upload_too_large
from alloyd.domain.storage.service import Reception
from alloyd.errors import bad_request
from alloyd.kit.paths import PATH_BYTES_MAX, ROOT, StoragePath, parse_name, parse_path
from alloyd.wire.multipart import FormReader, Part
from alloyd.wire.route import Call

# What a body may be longer than its file by: boundaries, part headers, the path.
FORM_BYTES_MAX = 64 * 1024

_SEPARATOR = re.compile(r"[/\\]")  # either may come from a Windows client


def check_declared_length(call: Call, upload_bytes_max: int) -> None:
    """413, before anything is read, when the body's length says that the file is too large."""
    declared = call.request.content_length
    if declared is not None and declared > upload_bytes_max + FORM_BYTES_MAX:
        raise upload_too_large(upload_bytes_max)


class UploadForm:
    """The fields of an upload: the part ``file``, and the folder ``path`` before or after it."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.mime_type: str | None = None
        self._folder: StoragePath | None = None

    async def read(self, form: FormReader, reception: Reception) -> StoragePath:
        """Read all parts, the file's content into ``reception``; the path that the file is to have.

        Raises ``bad_request`` naming the field at fault, ``too_large``, ``unavailable``.
        """
        async for part in form.parts():
            if part.name == "file":
                await self._read_file(part, reception)
            elif part.name == "path":
                await self._read_path(part)
            else:
                await part.read(FORM_BYTES_MAX)  # a client's own field; it has no say here
        if self.name is None:
            raise bad_request("file: required", "file")
        return (self._folder or ROOT).child(self.name)

    async def _read_file(self, part: Part, reception: Reception) -> None:
        if self.name is not None:
            raise bad_request("file: given more than once", "file")
        if not part.filename:
            raise bad_request("file: has no filename", "file")
        self.name = parse_name(_SEPARATOR.split(part.filename)[-1], "file")
        self.mime_type = part.content_type
        async for chunk in part.chunks():
            await reception.write(chunk)

    async def _read_path(self, part: Part) -> None:
        if self._folder is not None:
            raise bad_request("path: given more than once", "path")
        try:
            text = (await part.read(PATH_BYTES_MAX)).decode()
        except UnicodeDecodeError:
            raise bad_request("path: not valid UTF-8", "path") from None
        self._folder = parse_path(text)
