"""Unpacking in bounded pieces."""

from __future__ import annotations

import gzip
import zlib

import pytest

from alloyd.egress.decoding import BodyDecoder

TEXT = b"alloy " * 50_000


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def unpack(encoding: str, packed: bytes, step: int) -> bytes:
    decoder = BodyDecoder(encoding)
    pieces = [p for i in range(0, len(packed), step) for p in decoder.pieces(packed[i : i + step])]
    decoder.finish()
    assert all(len(piece) <= 65_536 for piece in pieces)
    return b"".join(pieces)


@pytest.mark.parametrize("step", [1, 7, 1_000_000])
@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("X-GZIP", gzip.compress(TEXT)),
        ("gzip", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])),
        ("gzip", gzip.compress(TEXT) + b"\0\0\0"),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", bare(TEXT)),
    ],
)
def test_unpacks(encoding: str, packed: bytes, step: int) -> None:
    assert unpack(encoding, packed, step) == TEXT


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 131_072, 10_000_000])
def test_nothing_is_left_inside(size: int) -> None:
    assert len(unpack("gzip", gzip.compress(b"\0" * size), 1_000_000)) == size


@pytest.mark.parametrize("encoding", ["", "identity", "br", "gzip,gzip"])
def test_unknown_passes_unchanged(encoding: str) -> None:
    assert not BodyDecoder(encoding).decodes
    assert unpack(encoding, TEXT[:1000], 1000) == TEXT[:1000]


@pytest.mark.parametrize(
    "packed", [gzip.compress(TEXT, mtime=0)[:-1], gzip.compress(TEXT, mtime=0)[:5], b"no gzip", b"\x1f"]
)
def test_damage(packed: bytes) -> None:
    with pytest.raises(zlib.error):
        unpack("gzip", packed, 100)


def test_empty_body() -> None:
    assert unpack("gzip", b"", 1) == b""
