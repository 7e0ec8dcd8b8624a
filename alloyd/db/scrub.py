"""Overwrites what SQLite leaves behind inside its pages, for what is deleted to be gone from the file.

``secure_delete`` zeroes the cells that are deleted. But when pages are split or joined, cells move, and copies of them
stay in the unused room between a page's cell pointers and its cells, where nothing ever zeroes them. No part of SQLite
reads that room. So zeros may be written over it at any time, in part or whole, under readers and before a crash; only
the writer's own copies of pages have to be forgotten first, or they would bring it back. Needs an empty log: all
pages are then in the file. The file format: https://www.sqlite.org/fileformat2.html, sections 1.6 and 1.8.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_HEADER_BYTES = 100
_LOCK_BYTE = 0x4000_0000
_ROOT, _BTREE = 1, 5  # kinds of pages, as the map of pointers has them
_INTERIOR, _LEAF = (2, 5), (10, 13)
_MAP_ENTRY_BYTES = 5


@dataclass(frozen=True, slots=True)
class Shape:
    """How the file is divided: bytes of a page, those of them that SQLite uses, and whether it has maps of pointers."""

    page_bytes: int
    usable_bytes: int
    mapped: bool


def read_shape(fd: int) -> Shape:
    """From the file's header."""
    header = os.pread(fd, _HEADER_BYTES, 0)
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = 65536 if page_bytes == 1 else page_bytes
    return Shape(page_bytes, page_bytes - header[20], any(header[52:56]))


def find_dirty(fd: int, shape: Shape) -> list[int]:
    """Numbers of the pages that have something in their unused room. A reader's look: what it tells may be outdated."""
    return [number for number, page in _btree_pages(fd, shape) if any(_dirty_parts(page, shape.usable_bytes))]


def scrub(fd: int, shape: Shape, numbers: Iterable[int]) -> int:
    """Zero the unused room of these pages; in how many there was something. On the writer's thread, in a transaction
    that holds the write lock, with an empty log and no page in the writer's memory."""
    scrubbed = 0
    maps: dict[int, bytes] = {}
    for number in numbers:
        at = (number - 1) * shape.page_bytes
        page = os.pread(fd, shape.page_bytes, at)
        if len(page) != shape.page_bytes or not _is_btree(fd, shape, number, maps):
            continue
        parts = list(_dirty_parts(page, shape.usable_bytes))
        for start, end in parts:
            os.pwrite(fd, bytes(end - start), at + start)
        scrubbed += bool(parts)
    if scrubbed:
        os.fsync(fd)
    return scrubbed


def _btree_pages(fd: int, shape: Shape) -> Iterator[tuple[int, bytes]]:
    """Every page of a table or an index, but the first page, which holds the schema alone."""
    number, maps = 1, dict[int, bytes]()
    while True:
        number += 1
        page = os.pread(fd, shape.page_bytes, (number - 1) * shape.page_bytes)
        if len(page) != shape.page_bytes:
            return
        if page[0] in _INTERIOR + _LEAF and _is_btree(fd, shape, number, maps):
            yield number, page
        if len(maps) > 1:
            maps.pop(min(maps))


def _is_btree(fd: int, shape: Shape, number: int, maps: dict[int, bytes]) -> bool:
    """Whether the map of pointers says so: other pages may begin like one."""
    per_map = shape.usable_bytes // _MAP_ENTRY_BYTES + 1
    map_number = (number - 2) // per_map * per_map + 2
    lock_number = _LOCK_BYTE // shape.page_bytes + 1
    if map_number == lock_number:
        map_number += 1
    if number < 3 or number <= map_number or number == lock_number:
        return False
    if map_number not in maps:
        maps[map_number] = os.pread(fd, shape.usable_bytes, (map_number - 1) * shape.page_bytes)
    entry = (number - map_number - 1) * _MAP_ENTRY_BYTES
    return maps[map_number][entry : entry + 1] in (bytes([_ROOT]), bytes([_BTREE]))


def _dirty_parts(page: bytes, usable_bytes: int) -> Iterator[tuple[int, int]]:
    """``(start, end)`` of unused room that is not zero: the gap, and the blocks that are free within the cells."""
    if page[0] not in _INTERIOR + _LEAF:
        return
    free, cells, content = (int.from_bytes(page[at : at + 2], "big") for at in (1, 3, 5))
    content = content or 65536
    gap = (12 if page[0] in _INTERIOR else 8) + 2 * cells
    if not gap <= content <= usable_bytes:
        return  # no sound page: left to those who look for that
    if page.count(0, gap, content) != content - gap:
        yield gap, content
    while free:
        if not content <= free <= usable_bytes - 4:
            return
        following, size = (int.from_bytes(page[at : at + 2], "big") for at in (free, free + 2))
        end = free + size
        if size < 4 or end > usable_bytes or (following and following < end):
            return
        if page.count(0, free + 4, end) != size - 4:
            yield free + 4, end
        free = following
