"""Assets over HTTP: uploads of both forms, ranges, validators, what a browser may show; nothing is left over."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from alloyd.config import StorageConfig
from alloyd.domain.storage.model import Usage
from alloyd.kit.ids import new_id
from tests.app import Served, open_app

CONTENT = bytes(range(256)) * 4


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path, storage=StorageConfig(max_upload_bytes=2000)) as served:
        yield served


async def put(served: Served, content: bytes = CONTENT, query: str = "?filename=a.bin", **options: Any) -> Any:
    return await served.data("POST", f"/assets{query}", content, options.pop("status", 201), **options)


async def get(served: Served, asset_id: str, method: str = "GET", key: str = "acme", **headers: str) -> Any:
    given = {"Authorization": f"Bearer {await served.key(key)}"}
    given.update({name.replace("_", "-"): value for name, value in headers.items()})
    async with served.session.request(method, f"{served.url}/v1/assets/{asset_id}", headers=given) as response:
        return response.status, await response.read(), response.headers


async def blobs(served: Served) -> list[str]:
    await served.app.sweeper.sweep()
    root = served.app.data_dir.root
    return [path.name for path in (*root.glob("blobs/*/*"), *root.glob("tmp/*"))]


async def test_raw_upload_answers_what_the_contract_says(served: Served) -> None:
    asset = await put(served, headers={"Content-Type": "image/png"})
    assert asset == {
        "id": asset["id"],
        "organization_id": served.orgs["acme"],
        "filename": "a.bin",
        "content_type": "image/png",
        "size_bytes": 1024,
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "created_by": asset["created_by"],
        "created_at": "2026-01-01T00:00:00.000Z",
    }
    status, body, headers = await get(served, asset["id"])
    assert (status, body) == (200, CONTENT)
    assert headers["Content-Type"] == "image/png"
    assert headers["ETag"] == f'"{asset["sha256"]}"'
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "sandbox"
    assert await served.data("GET", "/assets") == [asset]
    assert "asset.created" in await served.kinds()


@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        ("image/png", "inline"),
        ("text/plain; charset=utf-8", "inline"),
        ("TEXT/HTML", "attachment"),
        ("image/svg+xml", "attachment"),
        ("application/pdf", "attachment"),
        ("image/png+evil", "attachment"),
    ],
)
async def test_a_browser_shows_only_what_runs_nothing(served: Served, declared: str, shown: str) -> None:
    asset = await put(served, headers={"Content-Type": declared}, query="?filename=na%C3%AFve%22.html")
    _status, _body, headers = await get(served, asset["id"])
    assert headers["Content-Disposition"] == f"{shown}; filename=\"na_ve_.html\"; filename*=UTF-8''na%C3%AFve%22.html"


@pytest.mark.parametrize(
    ("given", "status", "body"),
    [
        ("bytes=0-9", 206, CONTENT[:10]),
        ("bytes=1000-", 206, CONTENT[1000:]),
        ("bytes=-24", 206, CONTENT[-24:]),
        ("bytes=1020-5000", 206, CONTENT[1020:]),
        ("bytes=5-4", 200, CONTENT),
        ("bytes=0-1,5-6", 200, CONTENT),
        ("pages=1-2", 200, CONTENT),
    ],
)
async def test_ranges(served: Served, given: str, status: int, body: bytes) -> None:
    asset = await put(served)
    got, content, headers = await get(served, asset["id"], Range=given)
    assert (got, content) == (status, body)
    assert ("Content-Range" in headers) is (status == 206)


async def test_a_range_outside_is_416_in_the_envelope(served: Served) -> None:
    asset = await put(served)
    status, envelope, headers = await served.ask("GET", f"/assets/{asset['id']}", headers={"Range": "bytes=1024-"})
    assert (status, headers["Content-Range"]) == (416, "bytes */1024")
    assert envelope["error"] == {
        "code": "bad_request",
        "message": "Range: the file has 1024 bytes",
        "details": {"field": "Range"},
    }


async def test_validators_and_head(served: Served) -> None:
    asset = await put(served)
    etag = f'"{asset["sha256"]}"'
    assert (await get(served, asset["id"], If_None_Match=etag))[:2] == (304, b"")
    assert (await get(served, asset["id"], If_None_Match='"other"'))[0] == 200
    assert (await get(served, asset["id"], Range="bytes=0-1", If_Range='"other"'))[0] == 200
    status, body, headers = await get(served, asset["id"], method="HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", "1024")


@pytest.mark.parametrize(
    ("name", "query", "filename"),
    [("b.txt", "", "b.txt"), ("C:\\dir\\b.txt", "", "b.txt"), ("b.txt", "?filename=c.txt", "c.txt")],
)
async def test_form_upload(served: Served, name: str, query: str, filename: str) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("note", "ignored")
    form.add_field("file", b"hello", filename=name, content_type="text/plain")
    headers = {"Authorization": f"Bearer {await served.key('acme')}"}
    async with served.session.post(f"{served.url}/v1/assets{query}", data=form, headers=headers) as response:
        assert response.status == 201
        asset = (await response.json())["data"]
    assert (asset["filename"], asset["content_type"], asset["size_bytes"]) == (filename, "text/plain", 5)


@pytest.mark.parametrize(
    ("query", "content", "headers", "status", "said"),
    [
        ("?filename=..", b"x", {}, 400, "filename"),
        ("?filename=a%2Fb", b"x", {}, 400, "filename"),
        ("?filename=a%00b", b"x", {}, 400, "filename"),
        ("", b"x" * 2001, {}, 413, "larger than 2000"),
        ("", b"--x--", {"Content-Type": "multipart/form-data; boundary=x"}, 400, "file: required"),
        ("?organization_id=elsewhere", b"x", {}, 404, "organization"),
        ("", b"x", {"Idempotency-Key": "a b"}, 400, "Idempotency-Key"),
    ],
)
async def test_bad_uploads_leave_nothing(
    served: Served, query: str, content: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    got, envelope, _headers = await served.ask("POST", f"/assets{query}", content, headers=headers)
    assert (got, said in envelope["error"]["message"]) == (status, True), envelope["error"]
    assert await served.data("GET", "/assets") == []
    assert await blobs(served) == []


async def test_a_chunked_upload_is_bounded_too(served: Served) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 100

    headers = {"Authorization": f"Bearer {await served.key('acme')}"}
    async with served.session.post(f"{served.url}/v1/assets", data=pieces(), headers=headers) as response:
        assert response.status == 413
    assert await blobs(served) == []


async def test_a_body_cut_off_leaves_nothing(served: Served) -> None:
    key = await served.key("acme")
    reader, writer = await asyncio.open_connection("127.0.0.1", served.listener.port)
    head = f"POST /v1/assets HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Length: 1000\r\n\r\n"
    writer.write(head.encode() + b"x" * 500)
    await writer.drain()
    writer.write_eof()
    await reader.read()
    writer.close()
    assert await served.data("GET", "/assets") == []
    assert await blobs(served) == []


async def test_copies_of_a_request_make_one_asset(served: Served) -> None:
    once = {"Idempotency-Key": "k"}
    await served.key("acme")
    made = await asyncio.gather(*(put(served, headers=once) for _ in range(20)))
    assert len({asset["id"] for asset in made}) == 1
    assert len(await blobs(served)) == 1
    status, _envelope, _headers = await served.ask("POST", "/assets?filename=a.bin", b"other", headers=once)
    assert status == 409
    assert len(await blobs(served)) == 1


async def test_delete_frees_the_content(served: Served) -> None:
    asset = await put(served)
    assert await served.data("DELETE", f"/assets/{asset['id']}") == asset
    assert (await get(served, asset["id"]))[0] == 404
    assert (await served.ask("DELETE", f"/assets/{asset['id']}"))[0] == 404
    assert await blobs(served) == []
    assert await served.app.storage.usage(await served.principal()) == Usage(0, 0)


async def test_pages_and_other_organizations(served: Served) -> None:
    made = [(await put(served, query=f"?filename={number}"))["id"] for number in range(3)]
    status, envelope, _headers = await served.ask("GET", "/assets?limit=2")
    assert (status, [one["id"] for one in envelope["data"]]) == (200, [made[2], made[1]])
    rest = await served.data("GET", envelope["links"]["next"].removeprefix("/v1"))
    assert [one["id"] for one in rest] == [made[0]]
    assert await served.data("GET", "/assets", key="other") == []
    assert (await get(served, made[0], key="other"))[0] == 404
    assert (await get(served, new_id(), key="other"))[0] == 404


async def test_a_restart_and_a_backup_keep_assets(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        asset = await put(served)
        report = await served.app.backups.create(tmp_path / "one.tar")
        assert report.manifest.files == 1
        key = served.keys["acme"]
    async with open_app(tmp_path) as served:
        served.keys["acme"] = key
        await served.app.sweeper.clean_up()
        assert (await get(served, asset["id"]))[:2] == (200, CONTENT)
