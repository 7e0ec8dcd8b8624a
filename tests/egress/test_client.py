"""The client against real servers on loopback: what it sends, what it follows, what it refuses."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from alloyd.egress import EgressError, EgressKind, EgressPolicy, Outbound, OutboundRequest

Make = Callable[..., Outbound]
RawServe = Callable[[bytes], Awaitable[int]]


def get(url: str, **more: Any) -> OutboundRequest:
    return OutboundRequest(**{"method": "GET", "url": url, **more})


async def ok(_: web.Request) -> web.Response:
    return web.Response(text="fine")


async def echo(request: web.Request) -> web.Response:
    body = (await request.read()).decode()
    return web.json_response({"method": request.method, "headers": dict(request.headers), "body": body})


async def failure(client: Outbound, request: OutboundRequest) -> EgressError:
    with pytest.raises(EgressError) as caught:
        await client.request(request)
    return caught.value


def names(answer: str = "127.0.0.1") -> Callable[[str], Awaitable[list[str]]]:
    async def lookup(_: str) -> list[str]:
        return [answer]

    return lookup


async def test_what_is_sent(serve: Any, outbound: Make) -> None:
    site = await serve(echo)
    response = await outbound().request(
        OutboundRequest(method="post", url=site.url("/x"), headers=[("X-One", "ü")], body=b"hello")
    )
    assert response.status == 200
    assert response.url == site.url("/x")
    assert response.elapsed_ms >= 0
    seen = json.loads(response.body)
    assert (seen["method"], seen["body"]) == ("POST", "hello")
    assert seen["headers"] == {
        "Host": f"127.0.0.1:{site.port}",
        "User-Agent": "alloyd",
        "X-One": "ü",
        "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate",
        "Content-Length": "5",
    }


async def test_large_and_streamed_bodies(serve: Any, outbound: Make) -> None:
    site = await serve(echo)
    client = outbound()
    large = b"x" * (3 * 1024 * 1024)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        response = await client.request(OutboundRequest(method="PUT", url=site.url(), body=large))
    assert not caught
    assert json.loads(response.body)["body"] == large.decode()

    async def parts() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    seen = json.loads((await client.request(OutboundRequest(method="PUT", url=site.url(), body=parts()))).body)
    assert (seen["body"], seen["headers"]["Transfer-Encoding"]) == ("one two", "chunked")


async def test_fault_of_the_callers_body_is_the_callers(serve: Any, outbound: Make) -> None:
    site = await serve(ok)

    async def parts() -> AsyncIterator[bytes]:
        yield b"one "
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await outbound().request(OutboundRequest(method="PUT", url=site.url(), body=parts()))


@pytest.mark.parametrize("path", ["http://127.0.0.1:{}/", "http://[::ffff:127.0.0.1]:{}/", "http://a.example:{}/"])
async def test_nothing_is_connected_after_a_refusal(path: str, trap: Any, outbound: Make) -> None:
    inside = trap()
    error = await failure(outbound(allow=(), lookup=names()), get(path.format(inside.port) + "?token=secret"))
    assert (error.kind, error.retryable) == (EgressKind.REFUSED, False)
    assert "secret" not in error.message
    assert not inside.sprung()


async def test_the_trap_springs(trap: Any, outbound: Make) -> None:
    """The counterpart: what the tests above and below rely on does see a connection."""
    inside = trap()
    await failure(outbound(), get(inside.url(), timeout_s=0.05))
    assert inside.sprung()


async def test_mapped_literal_connects_when_allowed(serve: Any, outbound: Make) -> None:
    site = await serve(ok)
    response = await outbound().request(get(f"http://[::ffff:127.0.0.1]:{site.port}/"))
    assert response.body == b"fine"


async def test_redirect_is_checked_again(serve: Any, trap: Any, outbound: Make) -> None:
    inside = trap("127.0.0.2")

    async def lead(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": request.query["to"]})

    site = await serve(lead)
    client = outbound(lookup=names("127.0.0.2"))
    for to in (inside.url(), inside.url(host="a.example"), "http://169.254.169.254/latest"):
        error = await failure(client, get(site.url(f"/?to={to}")))
        assert error.kind is EgressKind.REFUSED
    error = await failure(client, get(site.url("/?to=file:///etc/passwd")))
    assert error.kind is EgressKind.REDIRECT
    assert not inside.sprung()


async def test_redirect_loop_ends(serve: Any, outbound: Make) -> None:
    async def loop(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/again"})

    site = await serve(loop)
    error = await failure(outbound(redirects_max=3), get(site.url()))
    assert (error.kind, error.retryable) == (EgressKind.REDIRECT, False)
    assert len(site.seen) == 4


async def test_redirect_not_followed_when_not_wanted(serve: Any, outbound: Make) -> None:
    async def lead(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://169.254.169.254/"})

    site = await serve(lead)
    response = await outbound().request(get(site.url(), follow_redirects=False))
    assert (response.status, response.headers.get("location")) == (302, "http://169.254.169.254/")


async def test_credentials_stay_with_their_origin(serve: Any, outbound: Make) -> None:
    other = await serve(echo)

    async def lead(request: web.Request) -> web.Response:
        if request.path == "/end":
            return await echo(request)
        to = "/end" if request.path == "/near" else other.url("/far")
        return web.Response(status=307, headers={"Location": to, "Set-Cookie": "tracking=1"})

    site = await serve(lead)
    client = outbound()
    secrets = {"Authorization": "Bearer s", "Cookie": "a=b", "X-Api-Key": "s", "X-Mine": "s"}

    async def sent(path: str) -> dict[str, str]:
        request = OutboundRequest(
            method="POST",
            url=site.url(path),
            headers=[*secrets.items(), ("X-Plain", "p")],
            body=b"kept",
            credential_headers=["x-mine"],
        )
        seen = json.loads((await client.request(request)).body)
        assert (seen["method"], seen["body"], seen["headers"]["X-Plain"]) == ("POST", "kept", "p")
        return dict(seen["headers"])

    near, far = await sent("/near"), await sent("/far")
    assert secrets.items() <= near.items()
    assert not secrets.keys() & far.keys()


async def test_streamed_body_is_not_redirected(serve: Any, outbound: Make) -> None:
    async def lead(_: web.Request) -> web.Response:
        return web.Response(status=308, headers={"Location": "/again"})

    async def parts() -> AsyncIterator[bytes]:
        yield b"once"

    site = await serve(lead)
    error = await failure(outbound(), OutboundRequest(method="POST", url=site.url(), body=parts()))
    assert error.kind is EgressKind.REDIRECT
    assert len(site.seen) == 1


async def test_rebinding_finds_no_gap(serve: Any, trap: Any, outbound: Make) -> None:
    """The second answer of a name never matters to the connection that the first one was checked for."""
    good = await serve(ok, host="127.0.0.2")
    bad = trap("127.0.0.1", good.port)
    asked: list[str] = []

    async def lookup(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    client = outbound(allow=("127.0.0.2/32",), lookup=lookup, keepalive_s=3600)
    assert (await client.request(get(good.url(host="a.example")))).status == 200
    assert (await client.request(get(good.url(host="a.example")))).status == 200
    assert asked == ["a.example"]
    assert len(good.peers) == 1
    # Dropping the pool makes the client ask again, and now the name leads inside.
    client.replace_policy(EgressPolicy.parse(["127.0.0.2/32", "127.0.0.9/32"]))
    error = await failure(client, get(good.url(host="a.example")))
    assert error.kind is EgressKind.REFUSED
    assert asked == ["a.example", "a.example"]
    assert not bad.sprung()


async def test_public_then_private_connects_to_the_checked_one(outbound: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    tried: list[str] = []

    async def lookup(_: str) -> list[str]:
        return next(answers)

    def no_socket(addr_info: Any) -> socket.socket:
        tried.append(addr_info[4][0])
        raise ConnectionRefusedError(111, "no network in tests")

    monkeypatch.setattr("alloyd.egress.pool.checked_socket", no_socket)
    client = outbound(allow=(), lookup=lookup)
    assert (await failure(client, get("http://a.example/"))).kind is EgressKind.CONNECT
    assert (await failure(client, get("http://a.example/"))).kind is EgressKind.REFUSED
    assert tried == ["93.184.216.34"]


async def test_policy_replaced(serve: Any, outbound: Make) -> None:
    site = await serve(ok)
    client = outbound(keepalive_s=3600)
    assert (await client.request(get(site.url()))).status == 200
    client.replace_policy(EgressPolicy.parse(["127.0.0.1/32"]))
    assert (await client.request(get(site.url()))).status == 200
    assert len(site.peers) == 1
    client.replace_policy(EgressPolicy())
    assert (await failure(client, get(site.url()))).kind is EgressKind.REFUSED
    client.replace_policy(EgressPolicy.parse(["127.0.0.0/8"]))
    assert (await client.request(get(site.url()))).status == 200
    assert len(site.peers) == 2


async def test_request_under_way_outlives_its_policy(serve: Any, outbound: Make) -> None:
    go = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await go.wait()
        await response.write(b" last")
        return response

    site = await serve(slow)
    client = outbound()
    async with client.stream(get(site.url())) as stream:
        chunks = stream.chunks()
        assert await anext(chunks) == b"first"
        client.replace_policy(EgressPolicy())
        go.set()
        assert b"".join([c async for c in chunks]) == b" last"
    assert (await failure(client, get(site.url()))).kind is EgressKind.REFUSED


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_every_status_is_an_answer(status: int, serve: Any, outbound: Make) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text="body")

    site = await serve(answer)
    response = await outbound().request(get(site.url()))
    assert (response.status, response.body) == (status, b"body")


@pytest.mark.parametrize(("path", "kept"), [("/whole", b"abcd"), ("/short", b"ab"), ("/broken", b"ab"), ("/none", b"")])
async def test_the_beginning_of_a_body_is_told_whatever_becomes_of_the_rest(
    path: str, kept: bytes, serve: Any, outbound: Make
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/broken":
            response = web.StreamResponse(headers={"Content-Length": "10"})
            await response.prepare(request)
            await response.write(b"ab")
            assert request.transport is not None
            request.transport.close()
            return response
        return web.Response(body={"/whole": b"abcdef", "/short": b"ab", "/none": b""}[request.path])

    site = await serve(answer)
    async with outbound().stream(get(site.url(path))) as stream:
        assert await stream.read_beginning(4) == kept


async def test_too_large(serve: Any, outbound: Make) -> None:
    async def big(request: web.Request) -> web.StreamResponse:
        if request.path == "/length":
            return web.Response(body=b"x" * 1001)
        response = web.StreamResponse()
        if request.path == "/bomb":
            response.headers["Content-Encoding"] = "gzip"
        await response.prepare(request)
        if request.path == "/bomb":
            await response.write(gzip.compress(b"\0" * 20_000_000)[:900])
        else:
            await response.write(b"x" * 1001)
        return response

    site = await serve(big)
    client = outbound()
    for path in ("/length", "/chunked", "/bomb"):
        error = await failure(client, get(site.url(path), response_bytes_max=1000))
        assert (error.kind, error.retryable) == (EgressKind.TOO_LARGE, False), path
    with pytest.raises(EgressError, match="larger than 1000"):
        async with client.stream(get(site.url("/length"), response_bytes_max=1000)):
            pytest.fail("a length past the limit is refused before the answer is handed out")
    exact = await client.request(get(site.url("/length"), response_bytes_max=1001))
    assert len(exact.body) == 1001
    head = await client.request(OutboundRequest(method="HEAD", url=site.url("/length"), response_bytes_max=10))
    assert (head.status, head.body) == (200, b"")


async def test_unpacks(serve: Any, outbound: Make) -> None:
    async def packed(request: web.Request) -> web.Response:
        body = gzip.compress(b"plain" * 1000)
        if request.path == "/damaged":
            body = body[:-4]
        return web.Response(body=body, headers={"Content-Encoding": request.query.get("as", "gzip")})

    site = await serve(packed)
    client = outbound()
    response = await client.request(get(site.url()))
    assert response.body == b"plain" * 1000
    assert not response.headers.get("content-encoding")
    assert not response.headers.get("content-length")
    unknown = await client.request(get(site.url("/?as=br")))
    assert unknown.headers.get("content-encoding") == "br"
    assert unknown.body == gzip.compress(b"plain" * 1000)
    error = await failure(client, get(site.url("/damaged")))
    assert error.kind is EgressKind.PROTOCOL


async def test_padding_behind_a_packed_body_counts(serve: Any, outbound: Make) -> None:
    async def padded(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await response.prepare(request)
        await response.write(gzip.compress(b"plain") + bytes(1000))
        return response

    site = await serve(padded)
    assert (await outbound().request(get(site.url(), response_bytes_max=2000))).body == b"plain"
    error = await failure(outbound(), get(site.url(), response_bytes_max=1000))
    assert error.kind is EgressKind.TOO_LARGE


@pytest.mark.parametrize("path", ["/header", "/body"])
@pytest.mark.parametrize("limit", ["timeout_s", "idle_timeout_s"])
async def test_slow_server(path: str, limit: str, serve: Any, outbound: Make) -> None:
    go = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        if request.path == "/header":
            await go.wait()
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await go.wait()
        return response

    site = await serve(slow)
    async with asyncio.timeout(20):  # so that a limit that doesn't work fails instead of hanging
        error = await failure(outbound(), get(site.url(path), **{"timeout_s": 3600, limit: 0.05}))
    go.set()
    assert (error.kind, error.retryable) == (EgressKind.TIMEOUT, True)


async def test_slow_name_service(outbound: Make) -> None:
    go = asyncio.Event()

    async def lookup(_: str) -> list[str]:
        await go.wait()
        return []

    error = await failure(outbound(lookup=lookup, connect_timeout_s=0.05), get("http://a.example/"))
    assert error.kind is EgressKind.TIMEOUT


async def test_deadline_passed_between_reads(serve: Any, outbound: Make) -> None:
    site = await serve(ok)
    async with outbound().stream(get(site.url())) as stream:
        stream._deadline = asyncio.get_running_loop().time()
        with pytest.raises(EgressError) as caught:
            await stream.read()
    assert caught.value.kind is EgressKind.TIMEOUT


async def test_stream(serve: Any, outbound: Make) -> None:
    steps = [asyncio.Event(), asyncio.Event()]

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for n, step in enumerate(steps):
            await step.wait()
            await response.write(b"data: %d\n\n" % n)
        return response

    site = await serve(events)
    async with outbound().stream(get(site.url())) as stream:
        assert (stream.status, stream.headers.get("CONTENT-TYPE")) == (200, "text/event-stream")
        chunks = stream.chunks()
        for n, step in enumerate(steps):
            step.set()
            assert await anext(chunks) == b"data: %d\n\n" % n
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)
        with pytest.raises(RuntimeError, match="already taken"):
            stream.chunks()


async def test_leaving_the_block_hangs_up(serve: Any, outbound: Make) -> None:
    gone = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 10_000)
        finally:
            gone.set()

    site = await serve(endless)
    client = outbound()
    async with client.stream(get(site.url())) as stream:
        assert await anext(stream.chunks())
    await asyncio.wait_for(gone.wait(), 10)


async def test_environment_is_not_read(
    serve: Any, trap: Any, outbound: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    proxy = trap()
    site = await serve(echo)
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url())
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    seen = json.loads((await outbound().request(get(site.url()))).body)
    assert "Authorization" not in seen["headers"]
    assert not proxy.sprung()


async def test_connection_refused(outbound: Make) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        error = await failure(outbound(), get(f"http://127.0.0.1:{port}/?token=secret"))
    assert (error.kind, error.retryable) == (EgressKind.CONNECT, True)
    assert error.message == f"127.0.0.1:{port} refused the connection"


async def test_unknown_name(outbound: Make) -> None:
    async def lookup(_: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    error = await failure(outbound(lookup=lookup), get("http://a.example/"))
    assert (error.kind, error.retryable) == (EgressKind.DNS, False)


@pytest.mark.parametrize(
    ("answer", "kind", "retryable"),
    [
        (b"", EgressKind.CONNECT, True),
        (b"no http at all\r\n\r\n", EgressKind.PROTOCOL, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", EgressKind.PROTOCOL, False),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", EgressKind.PROTOCOL, False),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", EgressKind.PROTOCOL, False),
        (
            b"HTTP/1.1 200 OK\r\n" + b"X: %s\r\n" % (b"y" * 9_000) * 10 + b"\r\n",
            EgressKind.TOO_LARGE,
            False,
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", EgressKind.PROTOCOL, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", EgressKind.PROTOCOL, True),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            EgressKind.PROTOCOL,
            False,
        ),
    ],
)
async def test_bad_answers(
    answer: bytes, kind: EgressKind, retryable: bool, raw_serve: RawServe, outbound: Make
) -> None:
    port = await raw_serve(answer)
    error = await failure(outbound(), get(f"http://127.0.0.1:{port}/"))
    assert (error.kind, error.retryable) == (kind, retryable), repr(error)


async def test_bad_chunk_and_odd_header_bytes(raw_serve: RawServe, outbound: Make) -> None:
    port = await raw_serve(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n")
    assert (await failure(outbound(), get(f"http://127.0.0.1:{port}/"))).kind is EgressKind.PROTOCOL
    port = await raw_serve("HTTP/1.1 200 OK\r\nA: ü\r\n".encode() + b"B: \xff\r\nContent-Length: 0\r\n\r\n")
    response = await outbound().request(get(f"http://127.0.0.1:{port}/"))
    assert response.headers.pairs[:2] == (("A", "ü"), ("B", "ÿ"))


async def test_header_injection_sends_nothing(serve: Any, outbound: Make) -> None:
    site = await serve(ok)
    error = await failure(outbound(), get(site.url(), headers=[("X", "a\r\nAuthorization: b")]))
    assert (error.kind, error.field) == (EgressKind.REFUSED, "headers.X")
    assert not site.peers


async def test_cookies_are_not_kept(serve: Any, outbound: Make) -> None:
    async def set_cookie(request: web.Request) -> web.Response:
        return web.Response(text=request.headers.get("Cookie", ""), headers={"Set-Cookie": "a=b"})

    site = await serve(set_cookie)
    client = outbound(lookup=names())
    for _ in range(2):
        assert (await client.request(get(site.url(host="a.example")))).body == b""


async def test_closed(serve: Any, outbound: Make) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        started.set()
        await go.wait()
        return web.Response()

    site = await serve(slow)
    client = outbound()
    under_way = asyncio.create_task(failure(client, get(site.url())))
    await started.wait()
    await client.close()
    assert (await under_way).kind is EgressKind.CONNECT
    go.set()
    assert (await failure(client, get(site.url()))).kind is EgressKind.CONNECT
    await client.close()


async def test_cancelled_request_leaves_no_user(serve: Any, outbound: Make) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        started.set()
        await go.wait()
        return web.Response()

    site = await serve(slow)
    client = outbound()
    task = asyncio.create_task(client.request(get(site.url())))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    assert client._pool is not None
    assert client._pool.users == 0
