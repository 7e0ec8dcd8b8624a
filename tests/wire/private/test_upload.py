"""POST /upload: the form in every shape, the limit to the byte, and nothing left of what was refused."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest

from alloyd.wire.private.upload import FORM_BYTES_MAX
from tests.storage import ONE, Backend

from .conftest import PREFIX, Client

HEADERS = {"Content-Type": "multipart/form-data; boundary=XX"}


def part(name: str, content: bytes, more: str = "") -> bytes:
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def file(content: bytes = b"abc", filename: str = "a.txt") -> bytes:
    return part("file", content, f'; filename="{filename}"')


END = b"--XX--\r\n"


async def post(client: Client, body: bytes | Any, **headers: str) -> tuple[int, Any]:
    return await client.ask("POST", "/upload", data=body, headers={**HEADERS, **headers})


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (file(), "a.txt"),
        (part("path", b"x/y") + file(), "x/y/a.txt"),
        (file() + part("path", b"x/y"), "x/y/a.txt"),
        (file() + part("path", b""), "a.txt"),
        (part("path", b"/") + file(), "a.txt"),
        (part("path", b"//") + file(), "a.txt"),
        (part("path", "e\u0301".encode()) + file(), "é/a.txt"),
        (file(filename="dir/sub/b.txt"), "b.txt"),
        (file(filename="/etc/passwd"), "passwd"),
        (file(filename="../../b.txt"), "b.txt"),
        (file(filename="C:\\Users\\me\\b.txt"), "b.txt"),
        (file(filename="C:\\\\Users\\\\me\\\\b.txt"), "b.txt"),
        (file(filename="日本 語.txt"), "日本 語.txt"),
        (part("file", b"abc", "; filename=\"x\"; filename*=UTF-8''%E2%82%AC%20rates.txt"), "€ rates.txt"),
        (part("file", b"abc", "; filename*=UTF-8''a%2Fb.txt"), "b.txt"),
        (file(b"abc"), "a.txt"),
        (part("org_id", b"two") + file() + part("overwrite", b"false"), "a.txt"),  # a client's own fields say nothing
    ],
)
async def test_stored(client: Client, backend: Backend, body: bytes, path: str) -> None:
    assert await post(client, body + END) == (200, {"success": True, "data": {"path": path}})
    assert await backend.get(path) == b"abc"
    assert backend.told()[-1] == ("storage_file.created", path)
    assert backend.files_in_tmp() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"junk", "body"),
        (END, "file"),
        (part("path", b"x") + END, "file"),
        (part("file", b"abc") + END, "file"),
        (file(filename="") + END, "file"),
        (file(filename="dir/") + END, "file"),
        (file(filename="..") + END, "file"),
        (file(filename="a/..") + END, "file"),
        (file(filename=" ") + END, "file"),
        (file(filename="a\x01b") + END, "file"),
        (file(filename="n" * 256) + END, "file"),
        (file() + file() + END, "file"),
        (file() + part("path", b"a") + part("path", b"a") + END, "path"),
        (file() + part("path", b"..") + END, "path"),
        (part("path", b"a//b") + file() + END, "path"),
        (part("path", b"a\\b") + file() + END, "path"),
        (part("path", b"a\x00b") + file() + END, "path"),
        (part("path", b"\xff") + file() + END, "path"),
        (part("path", b"p" * 5000) + file() + END, "path"),
        (part("path", "/".join("d" * 64).encode()) + file() + END, "path"),
        (b"".join(part("path", b"a") for _ in range(30)) + END, "path"),
        (file(), "body"),
        (file() + b"--XX", "body"),
        (file()[:-10], "body"),
        (file(b"x" * 600_000)[:-10], "body"),
        (file(b"x" * 600_000) + part("path", b"..") + END, "path"),
        (part("path", b"taken") + file() + END, "path"),
        (part("path", b"taken/x") + file() + END, "path"),
        (file(filename="folder") + END, "file"),
    ],
)
async def test_refused(client: Client, backend: Backend, body: bytes, field: str) -> None:
    await backend.put("taken")
    await backend.put("folder/x")
    before = backend.files_on_disk(), await backend.tree()
    backend.told()
    status, answer = await post(client, body)
    assert (status, answer["success"], answer["error"]) == (400, False, "bad_request")
    assert answer["message"].startswith(f"{field}: ")
    assert (backend.files_on_disk(), await backend.tree()) == before
    assert backend.files_in_tmp() == []
    assert backend.told() == []
    assert backend.blobs.in_flight == set()


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "text/plain",
        "multipart/mixed; boundary=XX",
        "multipart/form-data",
        "",
        "multipart/form-data; boundary=é",
    ],
)
async def test_not_a_form(client: Client, content_type: str) -> None:
    status, answer = await post(client, file() + END, **{"Content-Type": content_type})
    assert (status, answer["message"].split(":")[0]) == (400, "Content-Type")


LIMIT = 10 * 1024 * 1024


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "status"), [(0, 200), (LIMIT, 200), (LIMIT + 1, 413)])
async def test_limit_to_the_byte(client: Client, backend: Backend, size: int, status: int, chunked: bool) -> None:
    body = part("path", b"p" * 200) + file(b"x" * size) + END

    async def stream() -> Any:
        for start in range(0, len(body), 1 << 18):
            yield body[start : start + (1 << 18)]

    found, answer = await post(client, stream() if chunked else io.BytesIO(body))
    assert found == status
    if status == 413:
        assert (answer["success"], answer["error"]) == (False, "too_large")
        assert answer["message"] == f"file: larger than {LIMIT} bytes"
        assert (backend.files_on_disk(), backend.files_in_tmp(), await backend.tree()) == ([], [], [])
    else:
        assert (await backend.storage.get_file(ONE, f"{'p' * 200}/a.txt")).size == size


async def talk(client: Client, head: bytes, body: bytes = b"") -> bytes:
    """Send by hand and read what comes until the answer's body ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.http.port)
    writer.write(head + body)
    await writer.drain()
    async with asyncio.timeout(30):
        answer = await reader.readuntil(b"}")
    writer.close()
    await writer.wait_closed()
    return answer


async def test_declared_length_over_the_limit_is_refused_unread(client: Client) -> None:
    for length, status in [(LIMIT + FORM_BYTES_MAX + 1, b"413"), (1 << 60, b"413")]:
        head = f"POST {PREFIX}/upload HTTP/1.1\r\nHost: x\r\napi-key: one\r\nContent-Length: {length}\r\n"
        answer = await talk(client, head.encode() + b"Content-Type: multipart/form-data; boundary=XX\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 " + status)


async def test_broken_off_upload_leaves_nothing(client: Client, backend: Backend) -> None:
    received = asyncio.Event()
    seen = asyncio.Event()
    plain = backend.storage.receive

    def receive() -> Any:
        context = plain()

        class Watched:
            async def __aenter__(self) -> Any:
                seen.set()
                return await context.__aenter__()

            async def __aexit__(self, *error: Any) -> Any:
                try:
                    return await context.__aexit__(*error)
                finally:
                    received.set()

        return Watched()

    backend.storage.receive = receive  # type: ignore[method-assign]
    _reader, writer = await asyncio.open_connection("127.0.0.1", client.http.port)
    head = f"POST {PREFIX}/upload HTTP/1.1\r\nHost: x\r\napi-key: one\r\nContent-Length: 5000000\r\n"
    writer.write(head.encode() + b"Content-Type: multipart/form-data; boundary=XX\r\n\r\n" + file(b"x" * 700_000))
    await writer.drain()
    async with asyncio.timeout(30):
        await seen.wait()
        writer.transport.abort()
        await received.wait()
    assert (backend.files_on_disk(), backend.files_in_tmp(), await backend.tree()) == ([], [], [])
    assert backend.blobs.in_flight == set()


@pytest.mark.parametrize(
    ("declared", "filename", "mime_type"),
    [
        ("image/png", "a.txt", "image/png"),
        ("text/plain; charset=utf-8", "a", "text/plain; charset=utf-8"),
        (None, "a.pdf", "application/pdf"),
        (None, "a", "application/octet-stream"),
        ("nonsense", "a.csv", "text/csv"),
    ],
)
async def test_mime_type(client: Client, declared: str | None, filename: str, mime_type: str) -> None:
    more = f'; filename="{filename}"' + (f"\r\nContent-Type: {declared}" if declared else "")
    await post(client, part("file", b"abc", more) + END)
    assert (await client.data("GET", f"/meta?path={filename}"))["mime_type"] == mime_type
    assert (await client.download(filename))[1]["Content-Type"] == mime_type


async def test_no_disk_and_no_place(client: Client, backend: Backend) -> None:
    backend.blobs.disk_free_bytes_min = lambda: 1 << 60
    status, answer = await post(client, file() + END)
    assert (status, answer["error"], answer["message"]) == (
        503,
        "unavailable",
        "nothing was stored: too little free disk space",
    )
    backend.set(upload_wait_s=0)
    backend.storage._slots = asyncio.Semaphore(0)
    status, answer = await post(client, file() + END)
    assert (status, answer["error"]) == (503, "unavailable")


async def test_readers_during_overwrites_see_one_content(client: Client) -> None:
    size = 200_000

    async def read() -> None:
        _status, headers, content = await client.download("f")
        assert len(content) == size
        assert len(set(content)) == 1
        assert headers["Content-Length"] == str(size)

    await client.upload("f", b"0" * size)
    await asyncio.gather(
        *(client.upload("f", b"%d" % (n % 10) * size) for n in range(20)), *(read() for _ in range(40))
    )


async def test_only_a_new_file_by_if_none_match(client: Client, backend: Backend) -> None:
    """What is there stays; a repeat under its idempotency key is told of its own success."""
    new = {"If-None-Match": "*"}
    assert (await post(client, file(b"first") + END, **new, **{"Idempotency-Key": "k"}))[0] == 200
    before = backend.files_on_disk()
    backend.told()
    assert (await post(client, file(b"first") + END, **new, **{"Idempotency-Key": "k"}))[0] == 200
    status, answer = await post(client, file(b"second") + END, **new)
    assert (status, answer["error"], answer["message"]) == (409, "conflict", "file: a file has this name")
    status, answer = await post(client, file(b"third") + END, **{"If-None-Match": '"abc"'})
    assert (status, answer["message"].partition(":")[0]) == (400, "If-None-Match")
    assert await backend.get("a.txt") == b"first"
    assert (backend.files_on_disk(), backend.files_in_tmp(), backend.told()) == (before, [], [])
