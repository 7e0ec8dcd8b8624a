"""GET and HEAD /download: headers, validators, ranges, and large bodies past aiohttp."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import uvloop

from alloyd.kit.disposition import content_disposition
from alloyd.wire import sendfile
from tests.storage import Backend, open_backend

from .conftest import PREFIX, Client, open_client

ABC = b"0123456789"
ETAG = f'"{hashlib.sha256(ABC).hexdigest()}"'
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


@pytest.fixture
async def small(backend: Backend) -> str:
    await backend.put("d/a b.txt", ABC, mime_type="text/html; charset=utf-8")
    return "d/a b.txt"


async def test_headers(client: Client, small: str, backend: Backend) -> None:
    status, headers, content = await client.download(small, X_Request_Id="mine")
    assert (status, content) == (200, ABC)
    expected = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt",
        "Content-Length": "10",
        "Content-Security-Policy": "sandbox",
        "Content-Type": "text/html; charset=utf-8",
        "ETag": ETAG,
        "Last-Modified": DATE,
        "Server": "alloyd",
        "X-Content-Type-Options": "nosniff",
        "X-Request-Id": "mine",
    }
    assert lowered(headers) == lowered(expected)
    assert str(backend.data_dir) not in str(headers)
    status, head_headers, content = await client.download(small, "HEAD", X_Request_Id="mine", Range="bytes=0-1")
    assert (status, content) == (200, b"")
    assert lowered(head_headers) == lowered(expected)


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """``headers`` without the date, by lower-case name."""
    return {name.lower(): value for name, value in headers.items() if name != "Date"}


@pytest.mark.parametrize(
    ("given", "status", "content", "content_range"),
    [
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=0-", 206, ABC, "bytes 0-9/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=7-99", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, ABC, "bytes 0-9/10"),
        ("Bytes= 2-4 ", 206, b"234", "bytes 2-4/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=99-100", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=4-2", 200, ABC, None),
        ("bytes=0-1,3-4", 200, ABC, None),
        ("bytes=-", 200, ABC, None),
        ("bytes=a-b", 200, ABC, None),
        ("bytes=+1-2", 200, ABC, None),
        ("bytes=1-٣", 200, ABC, None),
        ("items=0-1", 200, ABC, None),
        ("bytes", 200, ABC, None),
        ("bytes=0-" + "9" * 5000, 200, ABC, None),
    ],
)
async def test_ranges(
    client: Client, small: str, given: str, status: int, content: bytes | None, content_range: str | None
) -> None:
    found, headers, got = await client.download(small, Range=given)
    assert (found, headers.get("Content-Range")) == (status, content_range)
    if content is None:
        assert got == b'{"success":false,"error":"range_not_satisfiable","message":"Range: the file has 10 bytes"}'
        assert headers["Content-Type"] == "application/json"
        assert headers["X-Request-Id"]
    else:
        assert got == content
        assert headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"If_None_Match": ETAG}, 304),
        ({"If_None_Match": f"W/{ETAG}"}, 304),
        ({"If_None_Match": f'"x", {ETAG}'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"x"'}, 200),
        ({"If_None_Match": "junk"}, 200),
        ({"If_None_Match": ETAG, "Range": "bytes=0-1"}, 304),
        ({"If_None_Match": '"x"', "If_Modified_Since": DATE}, 200),
        ({"If_Modified_Since": DATE}, 304),
        ({"If_Modified_Since": "Wed, 31 Dec 2025 23:59:59 GMT"}, 200),
        ({"If_Modified_Since": "junk"}, 200),
        ({"If_Modified_Since": "Thu, 99 Jan 2026 00:00:00 GMT"}, 200),
        ({"If_Modified_Since": "Thu, 01 Jan 0000 00:00:00 GMT"}, 200),
        ({"If_Range": ETAG, "Range": "bytes=0-1"}, 206),
        ({"If_Range": DATE, "Range": "bytes=0-1"}, 206),
        ({"If_Range": '"x"', "Range": "bytes=0-1"}, 200),
        ({"If_Range": f"W/{ETAG}", "Range": "bytes=0-1"}, 200),
        ({"If_Range": "junk", "Range": "bytes=0-1"}, 200),
        ({"If_Range": '"x"', "Range": "bytes=99-"}, 200),
    ],
)
async def test_conditions(client: Client, small: str, given: dict[str, str], status: int) -> None:
    found, headers, content = await client.download(small, **given)
    assert (found, headers["ETag"]) == (status, ETAG)
    assert content == {304: b"", 206: ABC[:2], 200: ABC}[status]


async def test_empty_file(client: Client, backend: Backend) -> None:
    await backend.put("e", b"")
    assert (await client.download("e"))[::2] == (200, b"")
    assert (await client.download("e", Range="bytes=0-"))[0] == 416
    assert (await client.download("e", Range="bytes=-1"))[0] == 416


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.txt", "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt"),
        ('a"b\\c%d;e', "attachment; filename=\"a_b_c_d;e\"; filename*=UTF-8''a%22b%5Cc%25d%3Be"),
        ("€ 日", "attachment; filename=\"_ _\"; filename*=UTF-8''%E2%82%AC%20%E6%97%A5"),
        ("a\u2028b", "attachment; filename=\"a_b\"; filename*=UTF-8''a%E2%80%A8b"),
        (
            "<svg onload=x>.svg",
            "attachment; filename=\"<svg onload=x>.svg\"; filename*=UTF-8''%3Csvg%20onload%3Dx%3E.svg",
        ),
    ],
)
def test_content_disposition(name: str, header: str) -> None:
    assert content_disposition(name) == header


LARGE = os.urandom(5_000_000)


@pytest.mark.parametrize(
    ("given", "start", "end"),
    [({}, 0, None), ({"Range": "bytes=1000000-"}, 1_000_000, None), ({"Range": "bytes=5-4000000"}, 5, 4_000_001)],
)
async def test_large_body(client: Client, backend: Backend, given: dict[str, str], start: int, end: int | None) -> None:
    await backend.put("f", LARGE)
    for _ in range(3):  # one connection after the other keeps in step
        assert (await client.download("f", **given))[2] == LARGE[start:end]
    assert (await client.download("f", "HEAD"))[1]["Content-Length"] == str(len(LARGE))
    assert open_contents(backend) == []


def open_contents(backend: Backend) -> list[str]:
    """Contents that this process has open."""
    found: list[str] = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue
        if target.startswith(str(backend.blobs.blobs_dir)):
            found.append(target)
    return found


async def ask_by_hand(client: Client, path: str = "f") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.http.port, limit=1024)
    head = f"GET {PREFIX}/download?path={path} HTTP/1.1\r\nHost: x\r\napi-key: one\r\n\r\n"
    writer.write(head.encode())
    await writer.drain()
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_slow_reader_gets_the_old_content_to_its_end(client: Client, backend: Backend) -> None:
    content = os.urandom(30_000_000)
    backend.set(upload_bytes_max=1 << 30)
    await backend.put("f", content)
    reader, writer = await ask_by_hand(client)
    got = [await reader.read(1000)]
    await backend.put("f", b"new")
    await backend.sweeper.sweep()
    size = len(got[0])
    while size < len(content):
        got.append(await reader.read(1 << 16))
        size += len(got[-1])
    assert b"".join(got) == content
    writer.close()
    await writer.wait_closed()
    assert (await client.download("f"))[2] == b"new"


async def test_client_that_goes_leaves_nothing_open(client: Client, backend: Backend) -> None:
    backend.set(upload_bytes_max=1 << 30)
    await backend.put("f", b"x" * 30_000_000)
    _reader, writer = await ask_by_hand(client)
    assert len(open_contents(backend)) == 1
    writer.transport.abort()
    async with asyncio.timeout(30):
        while open_contents(backend):
            await backend.blobs.list_shards()
    assert (await client.download("f"))[0] == 200


async def test_client_that_takes_nothing_is_given_up(
    client: Client, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.set(upload_bytes_max=1 << 30)
    await backend.put("f", b"x" * 30_000_000)
    monkeypatch.setattr(sendfile, "SEND_IDLE_TIMEOUT_S", 0)
    reader, writer = await ask_by_hand(client)
    async with asyncio.timeout(30):
        while open_contents(backend):
            await backend.blobs.list_shards()
        assert await read_all(reader) < 30_000_000
    writer.close()


async def read_all(reader: asyncio.StreamReader) -> int:
    """How many bytes come until the connection ends, well or not."""
    size = 0
    try:
        while piece := await reader.read(1 << 20):
            size += len(piece)
    except ConnectionResetError:
        pass
    return size


async def test_content_cut_short_on_the_disk(client: Client, backend: Backend) -> None:
    await backend.put("f", LARGE)
    backend.blobs.path_of(backend.files_on_disk()[0]).write_bytes(LARGE[:1000])
    with pytest.raises(Exception, match=r"(?i)payload|reset|disconnect"):
        await client.download("f")
    assert open_contents(backend) == []


async def test_content_gone_from_the_disk(client: Client, backend: Backend) -> None:
    await backend.put("f", ABC)
    path = backend.blobs.path_of(backend.files_on_disk()[0])
    path.unlink()
    status, _headers, content = await client.download("f")
    assert status == 500
    assert b"missing on the disk" in content
    assert path.name.encode() not in content


def test_large_bodies_under_uvloop(tmp_path: Path) -> None:
    """The daemon's loop has no sendfile of its own."""

    async def download() -> None:
        async with open_backend(tmp_path) as backend, open_client(backend) as client:
            await backend.put("f", LARGE)
            bodies = await asyncio.gather(*(client.download("f") for _ in range(8)))
            assert {body for _status, _headers, body in bodies} == {LARGE}
            # The client has the last byte before the server has let go of the file.
            while open_contents(backend):
                await backend.blobs.list_shards()

    uvloop.run(download())
