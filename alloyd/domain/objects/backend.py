"""What a place for bytes has to do: take a stream durably, give it back, sign URLs, let go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Protocol, TypeVar

from alloyd.db import Tx
from alloyd.domain.objects.model import BackendName, Placed, StoredObject
from alloyd.domain.storage.model import FileInfo
from alloyd.kit.paths import ROOT, parse_name

T = TypeVar("T")


class ObjectFile(Protocol):
    """An object that is being read; an async context manager."""

    @property
    def info(self) -> FileInfo:
        """What it is, as storage tells of a file."""

    async def read(self, offset: int, count: int) -> bytes:
        """``count`` bytes from ``offset`` at once."""

    def read_chunks(self, offset: int = 0, count: int | None = None) -> AsyncIterator[bytes]:
        """``count`` bytes from ``offset`` in pieces; all of the rest without ``count``."""

    async def __aenter__(self) -> ObjectFile:
        """Begin."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Give back what it holds."""


class ObjectBackend(Protocol):
    """One place for the bytes of objects."""

    name: BackendName

    async def put(
        self,
        org_id: str,
        chunks: AsyncIterator[bytes],
        bytes_max: int,
        filename: str,
        content_type: str,
        write: Callable[[Tx, Placed], T | None],
    ) -> T | None:
        """Take ``chunks``; once they are durable, ``write`` names them in a transaction.

        They are removed again when ``write`` gives None or raises; a crash leaves nothing that is never removed. What
        ``chunks`` raises goes through. Raises ``too_large`` over ``bytes_max``, ``unavailable``.
        """

    def let_go(self, tx: Tx, stored: StoredObject) -> None:
        """Nothing names the object's bytes any more: they are removed after the commit."""

    async def open(self, stored: StoredObject) -> ObjectFile:
        """Its bytes for reading. Raises FileNotFoundError when they are not there (any more), ``unavailable``."""

    async def presign(self, stored: StoredObject, method: str, ttl_s: int) -> str | None:
        """A URL of the backend's own for ``method``, good for ``ttl_s`` seconds; None where alloyd serves it."""


def to_info(stored: StoredObject) -> FileInfo:
    """An object as storage tells of a file."""
    return FileInfo(
        ROOT.child(parse_name(stored.filename, "filename")),
        stored.size,
        stored.content_type,
        stored.sha256,
        stored.place,
        stored.created_at,
        stored.created_at,
    )
