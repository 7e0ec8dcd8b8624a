"""The WebSocket of events: same objects, subscriptions, origins, ends."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import WSMsgType

from .conftest import KEY, Daemon, StartDaemon, event, until


async def take(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    found = []
    async with asyncio.timeout(30):
        for _ in range(count):
            message = await socket.receive()
            assert message.type is WSMsgType.TEXT, message
            found.append(msgspec.json.decode(message.data))
    return found


async def closed_with(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(30):
        while not socket.closed:
            await socket.receive()
    return socket.close_code


async def test_it_sends_the_same_objects_live(daemon: Daemon) -> None:
    socket = await daemon.open_ws()
    stream = await daemon.open("/v1/events/stream")
    await daemon.emit(event(1), event(2, org_id="org-b"), event(3))
    assert await take(socket, 2) == await stream.take(2)


async def test_it_resumes_and_narrows_by_query(daemon: Daemon) -> None:
    written = await daemon.emit(event(1), event(2, "job.failed"), event(3), event(4, "job.done"))
    socket = await daemon.open_ws(f"/v1/events/ws?kinds=job.*&last_event_id={written[0]}")
    assert [one["payload"]["n"] for one in await take(socket, 2)] == [2, 4]


async def test_a_subscription_replays_after_an_id_and_then_goes_on(daemon: Daemon) -> None:
    written = await daemon.emit(event(1), event(2, "job.failed"), event(3), event(4, "job.done"))
    socket = await daemon.open_ws()
    await socket.send_json({"type": "subscribe", "kinds": ["job.*"], "after": str(written[1])})
    assert [one["payload"]["n"] for one in await take(socket, 1)] == [4]
    await daemon.emit(event(5), event(6, "job.failed"))
    assert [one["payload"]["n"] for one in await take(socket, 1)] == [6]
    await socket.send_json({"type": "subscribe", "after": "unknown"})
    assert [one["payload"]["n"] for one in await take(socket, 6)] == [1, 2, 3, 4, 5, 6]


async def test_a_new_subscription_loses_nothing_that_was_still_to_be_sent(
    start_daemon: StartDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = await start_daemon(queue_max=3)
    first = await daemon.emit(event(0))
    socket = await daemon.open_ws("/v1/events/ws?kinds=job.*")
    held, go = asyncio.Event(), asyncio.Event()
    list_of_orgs = daemon.log.list_of_orgs

    async def hold(*args: Any) -> Any:
        page = await list_of_orgs(*args)
        held.set()
        await go.wait()
        return page

    monkeypatch.setattr(daemon.log, "list_of_orgs", hold)
    await daemon.emit(*(event(number, "job.failed" if number % 2 else "job_not") for number in range(1, 11)))
    await held.wait()  # the sender catches up: its queue has overflowed
    (stream,) = daemon.streams._open
    await socket.send_json({"type": "subscribe", "kinds": ["workflow.*"]})
    await until(lambda: stream.feed._nudged)
    await daemon.emit(event(11, "job.failed"))
    go.set()
    await until(lambda: stream.feed.reader.kinds == frozenset({"workflow.*"}))
    await daemon.emit(event(12, "workflow.run.started"), event(13, "job.failed"))
    found = [one["payload"]["n"] for one in await take(socket, 7)]
    assert found == [1, 3, 5, 7, 9, 11, 12]
    assert first


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("nonsense", "body: malformed JSON"),
        ("[]", "body: expected"),
        ("{}", "type: required"),
        ('{"type": "unsubscribe"}', "type: invalid enum value"),
        ('{"type": "subscribe", "kinds": "job.failed"}', "kinds: expected"),
        ('{"type": "subscribe", "kinds": ["A B"]}', "kinds: not an event kind"),
        ('{"type": "subscribe", "after": 5}', "after: expected"),
        ('{"type": "subscribe", "kinds": [[[[[1]]]]]}', "kinds"),
        (b"\x00", "body: a text message is wanted"),
    ],
)
async def test_a_bad_message_is_told_and_the_stream_goes_on(daemon: Daemon, message: str | bytes, told: str) -> None:
    socket = await daemon.open_ws()
    await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
    (answer,) = await take(socket, 1)
    assert (answer["type"], answer["code"]) == ("error", "bad_request")
    assert answer["message"].startswith(told)
    await daemon.emit(event(1))
    assert [one["payload"]["n"] for one in await take(socket, 1)] == [1]


async def test_many_bad_messages_end_it(daemon: Daemon) -> None:
    socket = await daemon.open_ws()
    for _ in range(10):
        await socket.send_str("nonsense")
    assert len(await take(socket, 10)) == 10
    assert await closed_with(socket) == 1008
    await until(lambda: daemon.streams.count == 0)


async def test_a_message_too_large_ends_it(daemon: Daemon) -> None:
    socket = await daemon.open_ws()
    await socket.send_str('{"type": "subscribe", "after": "' + "x" * 20_000 + '"}')
    assert await closed_with(socket) == 1009


@pytest.mark.parametrize(("reason", "code"), [("revoked", 4401), ("stop", 1001)])
async def test_it_is_closed_from_our_side(daemon: Daemon, reason: str, code: int) -> None:
    socket = await daemon.open_ws()
    if reason == "revoked":
        daemon.hub.close_tagged("one", "the key was revoked")
    else:
        daemon.streams.stop()
    assert await closed_with(socket) == code
    await until(lambda: daemon.streams.count == 0)


async def test_a_client_that_leaves_is_forgotten(daemon: Daemon) -> None:
    polite, rude = await daemon.open_ws(), await daemon.open_ws()
    await polite.close()
    await until(lambda: daemon.streams.count == 1)
    rude._response.connection.transport.abort()
    await until(lambda: daemon.streams.count == 0)
    assert daemon.hub.reader_count == 0


async def test_a_full_queue_is_caught_up_from_the_table(start_daemon: StartDaemon) -> None:
    daemon = await start_daemon(queue_max=5)
    socket = await daemon.open_ws()
    for start in range(0, 500, 50):
        await daemon.emit(*(event(number) for number in range(start, start + 50)))
    assert [one["payload"]["n"] for one in await take(socket, 500)] == list(range(500))


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        (None, "127.0.0.1:3001", 101),
        ("http://127.0.0.1:3001", "127.0.0.1:3001", 101),
        ("https://Alloyd.example.com", "alloyd.example.com", 101),  # TLS ends at a proxy
        ("https://alloyd.example.com", "alloyd.example.com:443", 101),
        ("http://[::1]:3001", "[::1]:3001", 101),
        ("https://app.example.com", "alloyd.example.com", 101),  # listed
        ("https://app.example.com:444", "alloyd.example.com", 403),
        ("http://app.example.com", "alloyd.example.com", 403),
        ("null", "alloyd.example.com", 403),
        ("null", "null", 403),
        ("", "alloyd.example.com", 403),
        ("https://alloyd.example.com.evil.com", "alloyd.example.com", 403),
        ("https://evil.com", "alloyd.example.com", 403),
        ("https://alloyd.example.com:99999", "alloyd.example.com", 403),
        ("file://", "alloyd.example.com", 403),
        ("chrome-extension://alloyd.example.com", "alloyd.example.com", 403),
    ],
)
async def test_pages_of_other_sites_are_refused(
    start_daemon: StartDaemon, origin: str | None, host: str, status: int
) -> None:
    daemon = await start_daemon(allowed_origins=("https://app.example.com",))
    headers = {"Host": host} | ({"Origin": origin} if origin is not None else {})
    if status == 101:
        socket = await daemon.open_ws(headers=headers)
        await daemon.emit(event(1))
        assert len(await take(socket, 1)) == 1
        return
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await daemon.open_ws(headers=headers)
    assert refused.value.status == 403
    assert daemon.streams.count == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upgrade": "h2c", "Connection": "Upgrade"},
        {"Upgrade": "websocket", "Connection": "Upgrade"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "short"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "99", "Sec-WebSocket-Key": "a" * 24},
    ],
)
async def test_no_handshake_is_400_in_our_words(daemon: Daemon, headers: dict[str, str]) -> None:
    status, body, _ = await daemon.get("/v1/events/ws", headers=headers)
    assert (status, body["error"]["code"]) == (400, "bad_request")
    assert daemon.streams.count == 0


async def test_it_needs_a_credential_and_a_free_place(start_daemon: StartDaemon) -> None:
    from alloyd.wire.stream import StreamSettings

    daemon = await start_daemon(settings=StreamSettings(streams_per_principal_max=1))
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await daemon.open_ws(key=None)
    assert refused.value.status == 401
    await daemon.open_ws()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await daemon.open_ws()
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "10")


async def test_a_stream_whose_database_fails_is_closed_as_failed(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = await daemon.open_ws()

    async def fail(*_args: object) -> None:
        raise RuntimeError("gone")

    monkeypatch.setattr(daemon.log, "list_of_orgs", fail)
    (stream,) = daemon.streams._open
    stream.feed.reader.missed = True
    await daemon.emit(event(1))
    assert await closed_with(socket) == 1011
    assert KEY
