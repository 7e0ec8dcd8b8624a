"""Storage paths: the one form a path given by a caller may take before anything looks it up."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from alloyd.errors import bad_request

NAME_BYTES_MAX = 255
PATH_BYTES_MAX = 4096
PATH_DEPTH_MAX = 64

# Composing can shorten text, by less than this factor; anything longer is not worth normalising.
_RAW_FACTOR = 4


@dataclass(frozen=True, slots=True)
class StoragePath:
    """A canonical path: its names from the root down, NFC, none of them special. The root has none.

    Make one with :func:`parse_path`; :meth:`child` and :meth:`parent` keep it canonical.
    """

    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "/".join(self.names) or "/"

    @property
    def is_root(self) -> bool:
        """Whether this is the folder that holds all else."""
        return not self.names

    @property
    def name(self) -> str:
        """The last name; the root's is ``/``."""
        return self.names[-1] if self.names else "/"

    @property
    def parent(self) -> StoragePath:
        """The folder that holds it; the root's is the root."""
        return StoragePath(self.names[:-1])

    def child(self, name: str, field: str = "path") -> StoragePath:
        """The path of ``name``, already checked by :func:`parse_name`, in this folder. Raises ``bad_request``."""
        return _bounded((*self.names, name), field)

    def is_within(self, other: StoragePath) -> bool:
        """Whether this is ``other`` or lies below it."""
        return self.names[: len(other.names)] == other.names


ROOT = StoragePath()


def parse_path(text: str, field: str = "path") -> StoragePath:
    """``text`` as a canonical path; it may begin with a slash and end with one.

    Raises ``bad_request`` naming ``field`` (private contract: Paths).
    """
    if len(text) > PATH_BYTES_MAX * _RAW_FACTOR:
        raise bad_request(f"{field}: longer than {PATH_BYTES_MAX} bytes", field)
    inner = text.removeprefix("/").removesuffix("/")
    if not inner:
        return ROOT
    return _bounded(tuple(parse_name(name, field) for name in inner.split("/")), field)


def parse_name(text: str, field: str = "name") -> str:
    """``text`` as the name of one file or folder, NFC. Raises ``bad_request`` naming ``field``."""
    if not text:
        raise bad_request(f"{field}: a name is empty", field)
    if len(text) > NAME_BYTES_MAX * _RAW_FACTOR:
        raise bad_request(f"{field}: a name is longer than {NAME_BYTES_MAX} bytes", field)
    name = unicodedata.normalize("NFC", text)
    if "/" in name or "\\" in name:
        raise bad_request(f"{field}: a name may not have a slash or backslash", field)
    for char in name:
        if char < " " or char > "~":
            category = unicodedata.category(char)
            if category == "Cc":
                raise bad_request(f"{field}: a name may not have control characters", field)
            if category == "Cs":
                raise bad_request(f"{field}: not valid Unicode text", field)
    if all(char == "." or char.isspace() for char in name):
        raise bad_request(f"{field}: a name may not be made of dots and spaces only", field)
    if len(name.encode()) > NAME_BYTES_MAX:
        raise bad_request(f"{field}: a name is longer than {NAME_BYTES_MAX} bytes", field)
    return name


def _bounded(names: tuple[str, ...], field: str) -> StoragePath:
    if len(names) > PATH_DEPTH_MAX:
        raise bad_request(f"{field}: deeper than {PATH_DEPTH_MAX} folders", field)
    if path_bytes(names) > PATH_BYTES_MAX:
        raise bad_request(f"{field}: longer than {PATH_BYTES_MAX} bytes", field)
    return StoragePath(names)


def path_bytes(names: tuple[str, ...]) -> int:
    """The length of the canonical form in bytes of UTF-8; the root counts nothing."""
    return sum(len(name.encode()) + 1 for name in names) - 1 if names else 0
