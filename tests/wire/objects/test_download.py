"""Downloads by key: the redirect, what signed URLs serve, and everything that they refuse."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from yarl import URL

from alloyd.config.objects import ObjectsConfig
from alloyd.domain.objects.model import NewObject
from alloyd.kit.ids import random_token
from tests.app import Served, open_app
from tests.bucket import Bucket
from tests.wire.objects.things import CONTENT, ask, link, make, whole

DOWNLOAD = "/api/v1/objects/download"
NOT_FOUND = {"error": "object not found"}


async def test_a_download_leads_to_the_bytes(served: Served) -> None:
    stored = await make(served, filename='bérlin "1" 100%.png')
    url = URL(await link(served, stored), encoded=True)
    for _ in range(2):  # a link may be used again
        status, body, headers = await _get(served, url)
        assert (status, body) == (200, CONTENT)
        assert headers["Content-Type"] == "image/png"
        assert headers["Content-Disposition"].startswith('attachment; filename="b_rlin _1_ 100_.png"; filename*=UTF-8')


async def _get(served: Served, url: URL | str, method: str = "GET", **headers: str):
    url = URL(url, encoded=True) if isinstance(url, str) else url
    async with served.session.request(method, url, headers=headers) as response:
        return response.status, await response.read(), response.headers


async def test_ranges(served: Served) -> None:
    url = await link(served, await make(served), "inline")  # what is shown is served by alloyd, wherever it lies
    for asked, got in (("bytes=2-5", CONTENT[2:6]), ("bytes=-3", CONTENT[-3:]), ("bytes=2000-", CONTENT[2000:])):
        status, body, headers = await _get(served, url, Range=asked)
        assert (status, body) == (206, got)
        assert headers["Content-Range"].endswith(f"/{len(CONTENT)}")
    status, body, _headers = await _get(served, url, Range="bytes=9999-")
    assert (status, json.loads(body)) == (416, {"error": f"Range: the file has {len(CONTENT)} bytes"})
    status, body, headers = await _get(served, url)
    assert (status, body, headers["Accept-Ranges"]) == (200, CONTENT, "bytes")
    status, body, _headers = await _get(served, url, **{"If-None-Match": headers["ETag"]})
    assert (status, body) == (304, b"")


async def test_ranges_of_the_link_that_saves(served: Served) -> None:
    url = await link(served, await make(served))
    status, body, headers = await _get(served, url, Range="bytes=2-5")
    assert (status in (200, 206), body) == (True, CONTENT[2:6])  # rclone says 200 with a Content-Range
    assert headers["Content-Range"] == f"bytes 2-5/{len(CONTENT)}"


async def test_head(served: Served) -> None:
    for kind in ("attachment", "inline"):
        url = await link(served, await make(served), kind, "HEAD")
        status, body, headers = await _get(served, url, "HEAD")
        assert (status, body, headers["Content-Length"]) == (200, b"", str(len(CONTENT)))


@pytest.mark.parametrize(
    ("filename", "content_type", "shown"),
    [
        ("a.png", None, True),
        ("a.jpg", None, True),
        ("a.gif", None, True),
        ("a.webp", None, True),
        ("a.pdf", None, True),
        ("a.txt", None, True),
        ("a.txt", "text/plain; charset=utf-8", True),
        ("a.mp3", None, True),
        ("a.mp4", None, True),
        ("a.svg", None, False),
        ("a.html", None, False),
        ("a.xml", None, False),
        ("a.js", None, False),
        ("a.css", None, False),
        ("a.bin", None, False),
        ("a.png", "text/html", False),
        ("a.txt", "text/plain+html", False),
        ("a.mp4", "video/mp4, text/html", True),  # no type, so the name's counts
        ("a.xhtml", "application/xhtml+xml", False),
    ],
)
async def test_disposition(local: Served, filename: str, content_type: str | None, shown: bool) -> None:
    stored = await make(local, filename=filename, content_type=content_type)
    for kind in ("inline", "attachment"):
        _status, _body, headers = await _get(local, await link(local, stored, kind))
        wanted = "inline" if shown and kind == "inline" else "attachment"
        assert headers["Content-Disposition"].partition(";")[0] == wanted
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "sandbox"


async def test_what_is_shown_of_a_bucket_comes_from_alloyd(tmp_path, bucket: Bucket) -> None:
    async with open_app(tmp_path, objects=bucket.config()) as served:
        shown, saved = await make(served), await make(served, filename="a.html")
        assert (await link(served, shown)).startswith(bucket.url)
        assert (await link(served, saved, "inline")).startswith(bucket.url)  # it is not shown
        url = await link(served, shown, "inline")
        assert url.startswith(served.url)
        _status, body, headers = await _get(served, url)
        assert (body, headers["Content-Security-Policy"]) == (CONTENT, "sandbox")
        _status, body, headers = await _get(served, await link(served, saved, "inline"))
        assert headers["Content-Disposition"].startswith("attachment;")


async def test_a_link_of_the_bucket_itself(tmp_path, bucket: Bucket) -> None:
    """The store's own signature: it ends by the store's clock, and covers the time and the object."""
    async with open_app(tmp_path, objects=bucket.config(url_ttl_s=120)) as served:
        stored, other = await make(served), await make(served, b"other")
        url = await link(served, stored)
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["X-Amz-Expires"] == "120"
        for _ in range(2):
            status, body, headers = await _get(served, url)
            assert (status, body, headers["Content-Type"]) == (200, CONTENT, "image/png")
            assert headers["Content-Disposition"].startswith('attachment; filename="a.png"')
        day_before = "20200101T000000Z"
        for changed in (
            _changed(url, **{"X-Amz-Expires": "604800"}),
            _changed(url, **{"X-Amz-Date": day_before}),
            _changed(url, **{"X-Amz-Signature": "0" * 64}),
            url.replace(urlsplit(url).path, urlsplit(await link(served, other)).path),
            _changed(url, **{"X-Amz-Signature": None}),
        ):
            status, body, _headers = await _get(served, changed)
            assert status in (400, 403), changed  # AWS says 403; rclone 400 where a part is missing or too old
            assert CONTENT not in body
        assert (await _get(served, url, "PUT"))[0] in (400, 403)
        assert (await _get(served, url, "DELETE"))[0] in (400, 403)
        assert (await _get(served, url))[:2] == (200, CONTENT)


async def test_a_bucket_that_clients_can_not_reach(tmp_path, bucket: Bucket) -> None:
    config = bucket.config(s3_presign=False, base_url="https://files.example.com/")
    async with open_app(tmp_path, objects=config) as served:
        stored = await make(served)
        url = await link(served, stored)
        assert url.startswith("https://files.example.com/objects/acme/-/-/output/")
        status, body, _headers = await _get(served, url.replace("https://files.example.com", served.url))
        assert (status, body) == (200, CONTENT)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", "objectKey: required"),
        ("?objectKey=", "objectKey: "),
        ("?objectKey=%20", "objectKey: required"),
        ("?type=inline", "objectKey: required"),
        ("?objectKey=x&type=show", "type: "),
        ("?objectKey=x&type=", "type: "),
        ("?objectKey=a%00b", "objectKey: not valid text"),
    ],
)
async def test_what_is_no_question(local: Served, query: str, told: str) -> None:
    status, body, headers = await ask(local, f"{DOWNLOAD}{query}")
    assert (status, headers["Content-Type"]) == (400, "application/json")
    assert set(json.loads(body)) == {"error"}
    assert json.loads(body)["error"].startswith(told)


async def test_every_miss_looks_the_same(local: Served) -> None:
    stored = await make(local)
    gone = await make(local, slug="gone")
    await local.app.orgs.archive("gone")
    parts = stored.key.split("/")
    keys = [
        "x",
        "../../etc/passwd",
        "/",
        "a" * 5000,
        "é",
        stored.key.upper(),
        f"{stored.key}/",
        f"{stored.key} ",
        stored.key[:-1],
        "/".join([*parts[:4], random_token(43), parts[5]]),
        "/".join(["other", *parts[1:]]),
        stored.id,
        gone.key,
    ]
    for key in keys:
        status, body, headers = await ask(local, DOWNLOAD, params={"objectKey": key})
        assert (status, json.loads(body)) == (404, NOT_FOUND), key
        assert "Location" not in headers
        status, body, _headers = await ask(local, DOWNLOAD, "HEAD", params={"objectKey": key})
        assert (status, body) == (404, b"")


async def test_misses_are_bounded_by_address(tmp_path) -> None:
    async with open_app(tmp_path, objects=ObjectsConfig(misses_per_minute=3)) as served:
        stored = await make(served)
        for _ in range(10):
            await link(served, stored)  # what is there costs nothing
        got = [(await ask(served, f"{DOWNLOAD}?objectKey=x"))[0] for _ in range(5)]
        assert got == [404, 404, 404, 429, 429]
        status, body, headers = await ask(served, DOWNLOAD, params={"objectKey": stored.key})
        assert (status, headers["Retry-After"]) == (429, "20")
        assert json.loads(body) == {"error": "too many objects asked for that are not there; try again later"}
        served.clock.advance(20_000)
        assert (await ask(served, f"{DOWNLOAD}?objectKey=x"))[0] == 404
        assert (await ask(served, f"{DOWNLOAD}?objectKey=x"))[0] == 429


def _changed(url: str, **changes: str | None) -> str:
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | changes
    rest = "&".join(f"{name}={value}" for name, value in query.items() if value is not None)
    return f"{parts.scheme}://{parts.netloc}{parts.path}?{rest}"


async def test_tampered_links(local: Served) -> None:
    stored, other = await make(local), await make(local)
    url = await link(local, stored, "inline")
    signature = parse_qs(urlsplit(url).query)["signature"][0]
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    bad = {
        "another signature": _changed(url, signature=flipped),
        "a shorter signature": _changed(url, signature=signature[:-1]),
        "no signature": _changed(url, signature=None),
        "an empty signature": _changed(url, signature=""),
        "a signature that is no text": _changed(url, signature="%ED%A0%80"),
        "a signature of letters": _changed(url, signature="%C3%A9"),
        "a later time": _changed(url, expires="9999999999"),
        "no time": _changed(url, expires=None),
        "a time that is none": _changed(url, expires="soon"),
        "another disposition": _changed(url, disposition="attachment"),
        "no disposition": _changed(url, disposition=None),
        "another object": url.replace(stored.key, other.key),
        "another case": url.replace(stored.key, stored.key.upper()),
        "no object": f"{local.url}/objects/x?{urlsplit(url).query}",
        "nothing": f"{local.url}/objects/{stored.key}",
    }
    for name, changed in bad.items():
        for method in ("GET", "HEAD"):
            status, body, headers = await _get(local, changed, method)
            assert status == 403 if "no text" not in name else status in (400, 403), name
            assert headers["Content-Type"] == "application/json"
            if method == "GET" and status == 403:
                assert json.loads(body) == {"error": "the link is not valid, or its time is over"}
    assert (await _get(local, url))[0] == 200
    assert (await _get(local, url.replace("?", "/?")))[0] == 200  # a slash at a path's end changes nothing
    assert (await _get(local, url + "&more=1"))[0] == 200


async def test_links_end(local: Served) -> None:
    url = await link(local, await make(local))
    local.clock.advance(299_999)
    assert (await _get(local, url))[0] == 200
    local.clock.advance(1)
    assert (await _get(local, url))[0] == 403


async def test_a_link_of_what_was_deleted(local: Served) -> None:
    stored = await make(local, run_id="r1")
    url = await link(local, stored)
    await local.app.database.write(lambda tx: local.app.objects.delete_of_runs(tx, stored.org_id, ["r1"]))
    status, body, _headers = await _get(local, url)
    assert (status, json.loads(body)) == (404, NOT_FOUND)


@pytest.mark.parametrize("path", ["/api/v1/objects", "/api/v1/objects/nothing", "/objects", "/objects/"])
async def test_unknown_paths_in_the_own_dialect(local: Served, path: str) -> None:
    status, body, _headers = await ask(local, path)
    assert (status, json.loads(body)) == (404, {"error": "there is nothing at this path"})


@pytest.mark.parametrize("path", [DOWNLOAD, f"{DOWNLOAD}/", "/api/v1/objects/storage-usage", "/objects/a/b"])
async def test_wrong_methods_in_the_own_dialect(local: Served, path: str) -> None:
    status, body, headers = await ask(local, path, "POST")
    assert (status, set(json.loads(body))) == (405, {"error"})
    assert headers["Allow"] == "GET, HEAD"


async def test_a_large_object_goes_through(served: Served) -> None:
    piece = bytes(range(256)) * 4096
    stored = await served.app.objects.put(
        await served.principal(),
        NewObject("output", "big.mp4"),
        whole(*[piece] * 9),
    )
    assert stored.size == 9 * len(piece)
    _status, body, _headers = await _get(served, await link(served, stored, "inline"))
    assert body == piece * 9
    _status, body, _headers = await _get(served, await link(served, stored, "inline"), Range="bytes=3000000-7000000")
    assert body == (piece * 9)[3_000_000:7_000_001]
