"""http.request against real servers on loopback."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from typing import Any

import pytest
from aiohttp import web

from alloyd.domain.operations.catalogue import get_operation
from alloyd.domain.operations.http_message import ERROR_BODY_BYTES_MAX
from alloyd.domain.operations.http_request import FILE_IN_MEMORY_BYTES_MAX
from alloyd.domain.operations.model import OperationError
from alloyd.domain.operations.validation import check_config
from alloyd.egress import EgressLimits, EgressPolicy, Outbound
from alloyd.egress.retry_after import RETRY_AFTER_MS_MAX, retry_after_ms
from alloyd.errors import AlloydError, Code

HTTP = get_operation("http.request")
NOW_MS = 1_767_225_600_000


def answering(**given: Any) -> Any:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(**given)

    return handler


@pytest.mark.parametrize(
    ("config", "method", "target", "content_type", "body"),
    [
        ({}, "GET", "/p", None, b""),
        ({"query": {"a": 1, "b": [True, "x y"], "c": None, "d": 1.5}}, "GET", "/p?a=1&b=true&b=x+y&d=1.5", None, b""),
        ({"url": "/p?z=1#frag", "query": {"a": "&"}}, "GET", "/p?z=1&a=%26", None, b""),
        ({"url": "/p?", "query": {"a": "b"}}, "GET", "/p?a=b", None, b""),
        ({"method": "POST", "json": {"a": [1, None]}}, "POST", "/p", "application/json", b'{"a":[1,null]}'),
        ({"method": "PUT", "json": None}, "PUT", "/p", "application/json", b"null"),
        ({"method": "PATCH", "body": "hé"}, "PATCH", "/p", "text/plain; charset=utf-8", b"h\xc3\xa9"),
        (
            {"method": "POST", "form": {"a": "x y", "b": [1, 2]}},
            "POST",
            "/p",
            "application/x-www-form-urlencoded",
            b"a=x+y&b=1&b=2",
        ),
        (
            {"method": "POST", "body": "<a/>", "headers": {"content-type": "application/xml"}},
            "POST",
            "/p",
            "application/xml",
            b"<a/>",
        ),
        ({"method": "OPTIONS"}, "OPTIONS", "/p", None, b""),
    ],
)
async def test_what_is_sent(
    run: Any, serve: Any, config: dict[str, Any], method: str, target: str, content_type: str | None, body: bytes
) -> None:
    site = await serve(answering(text="ok"))
    await run(HTTP, {**config, "url": site.url + config.get("url", "/p")})
    ((request, content),) = site.seen
    assert (request.method, request.path_qs, content) == (method, target, body)
    assert request.headers.get("Content-Type") == content_type


@pytest.mark.parametrize(
    ("method", "headers", "key"),
    [
        ("GET", {}, None),
        ("HEAD", {}, None),
        ("OPTIONS", {}, None),
        ("POST", {}, "run-1:step"),
        ("PUT", {}, "run-1:step"),
        ("PATCH", {}, "run-1:step"),
        ("DELETE", {}, "run-1:step"),
        ("POST", {"idempotency-KEY": "own"}, "own"),
    ],
)
async def test_the_same_idempotency_key_at_each_attempt(
    run: Any, serve: Any, method: str, headers: dict[str, str], key: str | None
) -> None:
    site = await serve(answering(text=""))
    for attempt in (1, 2):
        await run(HTTP, {"url": site.url, "method": method, "headers": headers}, attempt=attempt)
    assert [request.headers.get("Idempotency-Key") for request, _ in site.seen] == [key, key]


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"bearer": "tok"}, "Bearer tok"),
        ({"basic": {"username": "u", "password": "p:é"}}, "Basic " + base64.b64encode("u:p:é".encode()).decode()),
        ({"basic": {"username": "u"}}, "Basic dTo="),
    ],
)
async def test_auth(run: Any, serve: Any, auth: dict[str, Any], header: str) -> None:
    site = await serve(answering(text=""))
    await run(HTTP, {"url": site.url, "auth": auth, "headers": {"X-N": 5, "X-B": True}})
    headers = site.seen[0][0].headers
    assert (headers["Authorization"], headers["X-N"], headers["X-B"]) == (header, "5", "true")


@pytest.mark.parametrize(
    ("content", "content_type", "wanted", "body", "encoding"),
    [
        (b'{"a":1}', "application/json", "auto", {"a": 1}, "json"),
        (b'{"a"', "application/json", "auto", '{"a"', "text"),
        (b"[" * 65 + b"]" * 65, "application/json", "auto", "[" * 65 + "]" * 65, "text"),
        (b"", "application/json", "auto", None, "none"),
        (b"h\xc3\xa9", "text/plain", "auto", "hé", "text"),
        (b"h\xe9", "text/plain; charset=iso-8859-1", "auto", "hé", "text"),
        (b"h\xe9", 'text/plain; charset="Windows-1252"', "auto", "hé", "text"),
        (b"h\xe9", "text/plain; charset=punycode", "auto", "aOk=", "base64"),
        (b"\xff\xfe", "text/plain", "auto", "//4=", "base64"),
        (b"\x89P", "image/png", "auto", "iVA=", "base64"),
        (b"[1]", "text/plain", "json", [1], "json"),
        (b"[1]", "application/json", "text", "[1]", "text"),
        (b"[1]", "application/json", "base64", "WzFd", "base64"),
    ],
)
async def test_how_the_body_is_decoded(
    run: Any, serve: Any, content: bytes, content_type: str, wanted: str, body: Any, encoding: str
) -> None:
    site = await serve(answering(body=content, headers={"Content-Type": content_type, "X-A": "1"}, status=201))
    output = (await run(HTTP, {"url": site.url + "/x", "response": wanted})).output
    assert (output["status"], output["body"], output["encoding"]) == (201, body, encoding)
    assert (output["headers"]["x-a"], output["url"], output["elapsed_ms"]) == ("1", site.url + "/x", 0)


@pytest.mark.parametrize(
    ("content", "content_type", "wanted", "words"),
    [(b"{", "application/json", "json", "not valid JSON"), (b"\xff", "text/plain", "text", "not utf-8 text")],
)
async def test_a_body_that_is_not_what_is_wanted(
    run: Any, serve: Any, content: bytes, content_type: str, wanted: str, words: str
) -> None:
    site = await serve(answering(body=content, headers={"Content-Type": content_type}))
    with pytest.raises(OperationError, match=words) as caught:
        await run(HTTP, {"url": site.url, "response": wanted})
    assert (caught.value.code, caught.value.path) == ("bad_response", "response")


@pytest.mark.parametrize(
    ("status", "headers", "retryable", "after_ms"),
    [
        (400, {}, False, None),
        (401, {"Set-Cookie": "session=canary"}, False, None),
        (404, {"Retry-After": "5"}, False, None),
        (408, {}, True, None),
        (425, {}, True, None),
        (429, {"Retry-After": "7"}, True, 7000),
        (500, {}, True, None),
        (503, {"Retry-After": "Thu, 01 Jan 2026 00:00:30 GMT"}, True, 30_000),
        (599, {"Retry-After": "soon"}, True, None),
    ],
)
async def test_a_failing_status(
    run: Any, serve: Any, status: int, headers: dict[str, str], retryable: bool, after_ms: int | None
) -> None:
    site = await serve(answering(status=status, headers=headers, text="why\n" + "x" * 100_000))
    with pytest.raises(OperationError, match=f"status {status}") as caught:
        await run(HTTP, {"url": site.url})
    error = caught.value
    assert (error.code, error.retryable, error.retry_after_ms) == ("http_status", retryable, after_ms)
    assert error.details["status"] == status
    assert error.details["body"].startswith("why\n")
    assert len(error.details["body"]) == ERROR_BODY_BYTES_MAX
    assert "canary" not in str(error.details)


async def test_a_failing_status_can_be_an_answer(run: Any, serve: Any) -> None:
    site = await serve(answering(status=503, text="later"))
    output = (await run(HTTP, {"url": site.url, "fail_on_status": False})).output
    assert (output["status"], output["body"]) == (503, "later")


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0),
        (" 120 ", 120_000),
        ("99999999999999999999", RETRY_AFTER_MS_MAX),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60_000),
        ("Thu, 01 Jan 2026 00:01:00 -0000", 60_000),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", RETRY_AFTER_MS_MAX),
        ("-1", None),
        ("²", None),
        ("", None),
        ("tomorrow", None),
        ("Thu, 99 Jan 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after(text: str, ms: int | None) -> None:
    assert retry_after_ms(text, NOW_MS) == ms


@pytest.mark.parametrize("size", [4097, 4000])
async def test_an_answer_over_the_outputs_limit(run: Any, serve: Any, size: int) -> None:
    site = await serve(answering(body=b"\x00" * size))
    with pytest.raises(OperationError, match="save_to stores it as a file") as caught:
        await run(HTTP, {"url": site.url})
    assert (caught.value.code, caught.value.retryable) == ("too_large", False)


async def test_save_to(run: Any, serve: Any, files: Any) -> None:
    site = await serve(answering(body=b"x" * 100_000, headers={"Content-Type": "image/png; q=1"}))
    output = (await run(HTTP, {"url": site.url, "save_to": "out/a.png"})).output
    assert output["file"] == {"path": "out/a.png", "size": 100_000, "mime_type": "image/png"}
    assert "body" not in output
    assert files.content == {"out/a.png": b"x" * 100_000}


async def test_a_failing_status_is_not_saved(run: Any, serve: Any, files: Any) -> None:
    site = await serve(answering(status=404, text="no"))
    with pytest.raises(OperationError):
        await run(HTTP, {"url": site.url, "save_to": "out"})
    assert files.content == {}


async def test_save_to_where_storage_refuses(run: Any, serve: Any, files: Any) -> None:
    site = await serve(answering(text="x"))
    files.fault = AlloydError(Code.BAD_REQUEST, "path: is a folder", field="path")
    with pytest.raises(OperationError) as caught:
        await run(HTTP, {"url": site.url, "save_to": "out"})
    assert (caught.value.code, caught.value.path) == ("bad_request", "save_to")


@pytest.mark.parametrize("config", [{}, {"save_to": "out"}])
async def test_an_answer_that_breaks_off(run: Any, serve: Any, files: Any, config: dict[str, str]) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    site = await serve(handler)
    with pytest.raises(OperationError) as caught:
        await run(HTTP, {"url": site.url, **config})
    assert (caught.value.code, caught.value.path, caught.value.retryable) == ("http_protocol", "url", True)
    assert files.content == {}


async def test_an_answer_over_the_file_limit(run: Any, serve: Any, services: Any, files: Any) -> None:
    site = await serve(answering(body=b"x" * 5000))
    small = dataclasses.replace(services, file_bytes_max=4500)
    with pytest.raises(OperationError, match=r"larger than 4500 bytes$") as caught:
        await run(HTTP, {"url": site.url, "save_to": "out"}, services=small)
    assert caught.value.code == "http_too_large"
    assert files.content == {}


async def test_an_answer_over_the_limit_of_outbound_requests(run: Any, serve: Any, services: Any) -> None:
    site = await serve(answering(body=b"x" * 5000))
    outbound = Outbound(EgressPolicy.parse(["127.0.0.1/32"]), EgressLimits(response_bytes_max=4500))
    small = dataclasses.replace(services, outbound=outbound, output_bytes_max=6000)
    with pytest.raises(OperationError, match="larger than 4500 bytes; save_to stores it as a file") as caught:
        await run(HTTP, {"url": site.url}, services=small)
    await outbound.close()
    assert caught.value.code == "http_too_large"


@pytest.mark.parametrize(
    ("size", "chunked"), [(0, False), (FILE_IN_MEMORY_BYTES_MAX, False), (FILE_IN_MEMORY_BYTES_MAX + 1, True)]
)
async def test_body_file(run: Any, serve: Any, files: Any, size: int, chunked: bool) -> None:
    site = await serve(answering(text="ok"))
    files.put("in", b"x" * size, "image/png")
    await run(HTTP, {"url": site.url, "method": "PUT", "body_file": "in"})
    ((request, content),) = site.seen
    assert content == b"x" * size
    assert request.headers["Content-Type"] == "image/png"
    assert ("chunked" in request.headers.get("Transfer-Encoding", "")) is chunked
    assert files.open_streams == 0


async def test_body_file_that_is_missing(run: Any, serve: Any) -> None:
    site = await serve(answering(text="ok"))
    with pytest.raises(OperationError) as caught:
        await run(HTTP, {"url": site.url, "method": "PUT", "body_file": "in"})
    assert (caught.value.code, caught.value.path) == ("not_found", "body_file")
    assert site.seen == []


async def test_body_file_that_fails_on_its_way(run: Any, files: Any) -> None:
    seen = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        files.fault = AlloydError(Code.UNAVAILABLE, "the disk is away")
        await reader.read()
        writer.close()
        seen.set()

    files.put("in", b"x" * 8 * FILE_IN_MEMORY_BYTES_MAX)
    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(OperationError, match="disk is away") as caught:
        await run(HTTP, {"url": f"http://127.0.0.1:{port}", "method": "PUT", "body_file": "in"})
    assert (caught.value.code, caught.value.path, caught.value.retryable) == ("unavailable", "body_file", True)
    await seen.wait()
    server.close()
    await server.wait_closed()


async def test_redirects(run: Any, serve: Any) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/a":
            return web.Response(status=302, headers={"Location": "/b"})
        return web.Response(text="here")

    site = await serve(handler)
    output = (await run(HTTP, {"url": site.url + "/a"})).output
    assert (output["status"], output["body"], output["url"]) == (200, "here", site.url + "/b")
    output = (await run(HTTP, {"url": site.url + "/a", "follow_redirects": False})).output
    assert (output["status"], output["headers"]["location"]) == (302, "/b")


async def test_a_server_that_says_nothing(run: Any, serve: Any) -> None:
    hold = asyncio.Event()

    async def handler(_request: web.Request) -> web.Response:
        await hold.wait()
        return web.Response()

    site = await serve(handler)
    with pytest.raises(OperationError) as caught:
        await run(HTTP, {"url": site.url, "timeout_ms": 50})
    hold.set()
    assert (caught.value.code, caught.value.retryable) == ("http_timeout", True)


async def test_nobody_is_there(run: Any) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(OperationError) as caught:
        await run(HTTP, {"url": f"http://127.0.0.1:{port}"})
    assert (caught.value.code, caught.value.path, caught.value.retryable) == ("http_connect", "url", True)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"url": "http://169.254.169.254/latest"}, "url"),
        ({"url": "http://[::ffff:169.254.169.254]/"}, "url"),
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "http://[::1]/"}, "url"),
        ({"url": "http://127.0.0.1/", "headers": {"Host": "x"}}, "headers.Host"),
        ({"url": "http://127.0.0.1/", "headers": {"X-A": "a\r\nB: c"}}, "headers.X-A"),
        ({"url": "http://127.0.0.1/", "auth": {"bearer": "a\nb"}}, "headers.Authorization"),
    ],
)
async def test_what_egress_refuses(run: Any, config: dict[str, Any], path: str) -> None:
    with pytest.raises(OperationError) as caught:
        await run(HTTP, config)
    assert (caught.value.code, caught.value.path, caught.value.retryable) == ("http_refused", path, False)


URL = "https://example.org/"


@pytest.mark.parametrize(
    ("config", "faults"),
    [
        ({"url": URL}, []),
        ({"url": "{{ trigger.url }}", "method": "{{ trigger.m }}", "timeout_ms": "{{ 5 }}"}, []),
        ({"url": URL, "method": "POST", "json": {"a": 1}}, []),
        ({"url": URL, "headers": {"a": "{{ x }}"}, "query": {"b": ["{{ x }}"]}}, []),
        ({}, ["url"]),
        ({"url": "ftp://x/"}, ["url"]),
        ({"url": URL, "method": "BREW"}, ["method"]),
        ({"url": URL, "method": "POST", "json": 1, "body": "x"}, ["body"]),
        ({"url": URL, "json": 1}, ["json"]),
        ({"url": URL, "headers": {"a": {}}}, ["headers.a"]),
        ({"url": URL, "headers": {"Authorization": "x"}, "auth": {"bearer": "y"}}, ["auth"]),
        ({"url": URL, "auth": {}}, ["auth"]),
        ({"url": URL, "auth": {"bearer": "x", "basic": {"username": "u"}}}, ["auth"]),
        ({"url": URL, "auth": {"basic": {}}}, ["auth.basic.username"]),
        ({"url": URL, "timeout_ms": 0}, ["timeout_ms"]),
        ({"url": URL, "timeout_ms": 3_600_001}, ["timeout_ms"]),
        ({"url": URL, "save_to": "a", "response": "json"}, ["response"]),
        ({"url": URL, "save_to": ""}, ["save_to"]),
        ({"url": 5, "method": 5, "follow": True}, ["follow", "method", "url"]),
    ],
)
def test_check(config: dict[str, Any], faults: list[str]) -> None:
    assert sorted(fault.path for fault in check_config(HTTP, config)) == faults
