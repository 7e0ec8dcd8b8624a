"""The archive's form: a plain tar of regular files, written and read block by block in constant memory.

Plain, since most contents are compressed already and any tar can open it. Read by hand, since a general reader would
follow what a forged archive says: links, sparse files, and headers that fill the memory.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

from alloyd.domain.backups.model import Member, damaged, place_in_order

BLOCK = tarfile.BLOCKSIZE
CHUNK_BYTES = 256 * 1024
# Members of one archive. Far more than a data directory's disk takes; bounds the work on a forged archive.
MEMBERS_MAX = 50_000_000

_END = bytes(2 * BLOCK)

Source = Callable[[int], bytes]
"""Gives up to so many bytes of a member, fewer than asked for, or none, only at its end."""


def _header(name: str, size: int, mtime_s: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, mtime_s, 0o600
    return info.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")


def _padding(size: int) -> int:
    return -size % BLOCK


def archive_bytes(sizes: int, members: int) -> int:
    """An upper bound of what ``members`` members of ``sizes`` bytes in all take in an archive."""
    return sizes + members * 2 * BLOCK + len(_END)


class ArchiveWriter:
    """Writes members to ``out``; ``size`` and ``sha256`` are of all bytes written so far."""

    def __init__(self, out: BinaryIO, mtime_s: int) -> None:
        self.size = 0
        self._out = out
        self._mtime_s = mtime_s
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """In hex."""
        return self._digest.hexdigest()

    def add(self, name: str, size: int, source: Source) -> Member:
        """Write a member of ``size`` bytes; a source that ends early is filled up with zeros."""
        self._write(_header(name, size, self._mtime_s))
        digest = hashlib.sha256()
        left = size
        while left:
            wanted = min(CHUNK_BYTES, left)
            chunk = source(wanted)
            if len(chunk) < wanted:
                chunk += bytes(wanted - len(chunk))
            digest.update(chunk)
            self._write(chunk)
            left -= len(chunk)
        self._write(bytes(_padding(size)))
        return Member(name, size, digest.hexdigest())

    def end(self) -> None:
        """Write the mark after the last member."""
        self._write(_END)

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._digest.update(data)
        self.size += len(data)


def read_members(archive: BinaryIO) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    """``(name, size, content)`` of each member, in the one order they may have. Each content is to be read to its end.

    Raises ``unprocessable`` for anything that :class:`ArchiveWriter` does not write: other names or kinds of members,
    others' headers, what comes twice, what is cut short, anything after the end.
    """
    left = os.fstat(archive.fileno()).st_size
    last = (-1, "")
    for _ in range(MEMBERS_MAX):
        header = _read_exactly(archive, BLOCK)
        left -= BLOCK
        if header == bytes(BLOCK):
            if archive.read(BLOCK + 1) != bytes(BLOCK):
                raise damaged("it does not end where its members end")
            return
        info = _parse(header)
        place = place_in_order(info.name)
        if place <= last:
            raise damaged(f"{info.name} is not where it belongs")
        last = place
        left -= info.size + _padding(info.size)
        if left < 0:
            raise damaged(f"{info.name} is cut short")
        yield info.name, info.size, _read_content(archive, info)
    raise damaged(f"it has more than {MEMBERS_MAX} members")


def _parse(header: bytes) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(header, "ascii", "strict")
        again = _header(info.name, info.size, int(info.mtime))
        tarfile.data_filter(info, "/nowhere")
    except (tarfile.TarError, ValueError) as error:
        raise damaged("a header in it can't be read", str(error)) from error
    if again != header or info.type != tarfile.REGTYPE or info.size < 0:
        raise damaged(f"{info.name[:100]!r} was not written by alloyd")
    return info


def _read_content(archive: BinaryIO, info: tarfile.TarInfo) -> Iterator[bytes]:
    left = info.size
    while left:
        chunk = _read_exactly(archive, min(CHUNK_BYTES, left))
        left -= len(chunk)
        yield chunk
    if any(_read_exactly(archive, _padding(info.size))):
        raise damaged(f"{info.name} has something behind its end")


def _read_exactly(archive: BinaryIO, count: int) -> bytes:
    data = archive.read(count)
    if len(data) != count:
        raise damaged("it is cut short")
    return data
