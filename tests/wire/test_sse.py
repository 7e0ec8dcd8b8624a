"""Server-sent events on a real server: frames, history, resuming, filters, slow readers, ends."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any

import pytest

from alloyd.errors import AlloydError, Code
from alloyd.events.model import Event
from alloyd.wire.stream import STOPPING, StreamSettings

from .conftest import KEY, RUN, Daemon, Frames, StartDaemon, event, until

RUN_PATH = f"/v1/workflow-runs/{RUN}/events"
DONE = "workflow.run.completed"


def ids(found: list[dict[str, Any]]) -> list[int]:
    return [int(one["id"]) for one in found]


async def test_frames_and_headers_are_the_contracts(daemon: Daemon) -> None:
    stream = await daemon.open("/v1/events/stream", **{"X-Request-Id": "0197a000-0000-7000-8000-00000000000a"})
    headers = stream.response.headers
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Accel-Buffering"] == "no"
    assert headers["X-Request-Id"] == "0197a000-0000-7000-8000-00000000000a"
    assert "Content-Encoding" not in headers
    (number,) = await daemon.emit(
        Event("org-a", DONE, f"run/{RUN}", b'{\n "n":\r\n1}', run_id=RUN, workflow_id="w", node_key="k")
    )
    raw = await stream.next_raw()
    assert raw is not None
    assert re.fullmatch(rb"id: %d\nevent: workflow\.run\.completed\ndata: (\{[^\r\n]*\})\n\n" % number, raw), raw
    assert raw.count(b"\n") == 4
    assert (
        raw.split(b"data: ")[1]
        == b'{"id":"%d","kind":"workflow.run.completed","organization_id":"org-a","subject":"run/%s","run_id":"%s",'
        b'"workflow_id":"w","node_key":"k","payload":{  "n":  1},"timestamp":"2026-01-01T00:00:00.000Z"}\n\n'
        % (number, RUN.encode(), RUN.encode())
    )


async def test_a_run_that_ended_long_ago_is_replayed_and_closed(daemon: Daemon) -> None:
    wanted = await daemon.emit(event(1), event(2), event(3, DONE))
    await daemon.emit(event(9, run_id="other"), event(9, org_id="org-b"))
    stream = await daemon.open(RUN_PATH)
    assert ids(await stream.rest()) == wanted


async def test_history_then_live_then_closed_after_the_terminal_event(daemon: Daemon) -> None:
    wanted = await daemon.emit(event(1))
    stream = await daemon.open(RUN_PATH)
    first = await stream.take(1)
    wanted += await daemon.emit(event(2), event(8, run_id="other"))
    wanted = wanted[:2]
    wanted += await daemon.emit(event(3, "workflow.run.failed"), event(4))
    rest = await stream.rest()
    assert ids(first + rest) == wanted[:3]


@pytest.mark.parametrize("path", [RUN_PATH, "/v1/events/stream?last_event_id=0"])
async def test_nothing_is_missing_or_twice_while_events_are_being_written(daemon: Daemon, path: str) -> None:
    count = 400

    async def write() -> None:
        for number in range(count):
            await daemon.emit(event(number))

    async def read(delay: int) -> list[dict[str, Any]]:
        for _ in range(delay):
            await asyncio.sleep(0)
        return await (await daemon.open(path)).take(count)

    async with asyncio.timeout(60):
        found = await asyncio.gather(*(read(delay * 40) for delay in range(12)), write())
    for one in found[:-1]:
        assert [event["payload"]["n"] for event in one or []] == list(range(count))


async def test_a_full_queue_is_caught_up_from_the_table(start_daemon: StartDaemon) -> None:
    daemon = await start_daemon(queue_max=5)
    everything = await daemon.open("/v1/events/stream")
    narrowed = await daemon.open("/v1/events/stream?kinds=job.*")
    batches = []
    for start in range(0, 900, 90):  # one write of 90 events overflows every queue
        kinds = ["job.failed" if number % 3 == 0 else "workflow.run.started" for number in range(start, start + 90)]
        batches.append(daemon.emit(*(event(start + place, kind) for place, kind in enumerate(kinds))))
    await asyncio.gather(*batches)
    assert [one["payload"]["n"] for one in await everything.take(900)] == list(range(900))
    assert [one["payload"]["n"] for one in await narrowed.take(300)] == list(range(0, 900, 3))


@pytest.mark.parametrize("by", ["header", "query"])
async def test_resuming_goes_on_after_the_id(daemon: Daemon, by: str) -> None:
    wanted = await daemon.emit(event(1), event(2), event(3), event(4, DONE))
    for path in (RUN_PATH, "/v1/events/stream"):
        if by == "header":
            stream = await daemon.open(path, **{"Last-Event-ID": str(wanted[1])})
        elif path == RUN_PATH:
            continue  # its query is the business of the route
        else:
            stream = await daemon.open(f"{path}?last_event_id={wanted[1]}")
        assert ids(await stream.take(2)) == wanted[2:]


@pytest.mark.parametrize("unknown", ["999999", "0", "-1", "abc", "99999999999999999999999", "1e3", "é"])
async def test_an_unknown_id_replays_all(daemon: Daemon, unknown: str) -> None:
    wanted = await daemon.emit(event(1), event(2), event(3, DONE))
    run = await daemon.open(RUN_PATH, **{"Last-Event-ID": unknown})
    assert ids(await run.rest()) == wanted
    everything = await daemon.open("/v1/events/stream", **{"Last-Event-ID": unknown})
    assert ids(await everything.take(3)) == wanted


async def test_the_id_of_another_run_or_organization_is_unknown(daemon: Daemon) -> None:
    (other, foreign, *wanted) = await daemon.emit(
        event(8, run_id="other"), event(9, org_id="org-b"), event(1), event(2, DONE)
    )
    for number in (other, foreign):
        run = await daemon.open(RUN_PATH, **{"Last-Event-ID": str(number)})
        assert ids(await run.rest()) == wanted
    everything = await daemon.open("/v1/events/stream", **{"Last-Event-ID": str(foreign)})
    assert ids(await everything.take(3)) == [other, *wanted]


async def test_resuming_at_the_terminal_event_closes_at_once(daemon: Daemon) -> None:
    wanted = await daemon.emit(event(1), event(2, DONE))
    stream = await daemon.open(RUN_PATH, **{"Last-Event-ID": str(wanted[-1])})
    assert await stream.rest() == []


async def test_an_ended_run_whose_events_are_deleted_closes(daemon: Daemon) -> None:
    daemon.runs["org-a", RUN] = True
    assert await (await daemon.open(RUN_PATH)).rest() == []
    assert await (await daemon.open(RUN_PATH, **{"Last-Event-ID": "5"})).rest() == []


async def test_a_run_that_is_not_there_is_404_as_one_of_another_organization(daemon: Daemon) -> None:
    for key in (KEY, "org-b/two"):
        run = "0197a000-0000-7000-8000-00000000000f" if key == KEY else RUN
        status, body, _ = await daemon.get(f"/v1/workflow-runs/{run}/events", key)
        assert (status, body["error"]) == (404, {"code": "not_found", "message": "run not found"})
    assert daemon.streams.count == daemon.hub.reader_count == 0


async def test_all_events_start_live_and_only_of_the_own_organization(daemon: Daemon) -> None:
    await daemon.emit(event(1))
    stream = await daemon.open("/v1/events/stream")
    await daemon.emit(event(2, org_id="org-b"))
    wanted = await daemon.emit(event(3))
    assert ids(await stream.take(1)) == wanted


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        ("", [0, 1, 2, 3]),
        ("*", [0, 1, 2, 3]),
        ("workflow.*", [0, 1]),
        ("workflow.run.started", [0]),
        ("workflow.run.*,job.failed", [0, 2]),
        (" job.failed , api_key.* ", [2, 3]),
        ("workflow.run", []),
    ],
)
@pytest.mark.parametrize("live", [True, False])
async def test_kinds_narrow_what_is_live_and_what_is_caught_up(
    daemon: Daemon, kinds: str, wanted: list[int], live: bool
) -> None:
    written = [
        event(0, "workflow.run.started"),
        event(1),
        event(2, "job.failed"),
        event(3, "api_key.revoked"),
    ]
    if not live:
        await daemon.emit(*written)
    stream = await daemon.open(f"/v1/events/stream?kinds={kinds}" + ("" if live else "&last_event_id=0"))
    if live:
        await daemon.emit(*written)
    assert [one["payload"]["n"] for one in await stream.take(len(wanted))] == wanted
    daemon.hub.close_all(STOPPING)
    assert await stream.rest() == []


@pytest.mark.parametrize(
    "kinds", ["a..b", "Workflow.*", "workflow*", ".*", "a b", "x" * 101, ",".join("abcdefghij" * 6)]
)
async def test_kinds_that_cannot_be_are_refused(daemon: Daemon, kinds: str) -> None:
    if kinds.startswith("a,b"):
        kinds = ",".join(f"k{number}" for number in range(51))
    status, body, _ = await daemon.get(f"/v1/events/stream?kinds={kinds}")
    assert (status, body["error"]["details"]) == (400, {"field": "kinds"})


async def test_another_organization_is_404_and_the_own_is_fine(daemon: Daemon) -> None:
    status, body, _ = await daemon.get("/v1/events/stream?organization_id=org-b")
    assert (status, body["error"]["message"]) == (404, "organization not found")
    stream = await daemon.open("/v1/events/stream?organization_id=org-a")
    wanted = await daemon.emit(event(1))
    assert ids(await stream.take(1)) == wanted


async def test_a_quiet_stream_shows_signs_of_life(start_daemon: StartDaemon) -> None:
    daemon = await start_daemon(settings=StreamSettings(heartbeat_s=0.02))
    for path in ("/v1/events/stream", RUN_PATH):
        stream = await daemon.open(path)
        assert [await stream.next_raw() for _ in range(2)] == [b": heartbeat\n\n"] * 2


async def test_a_revoked_key_ends_its_streams_and_no_others(daemon: Daemon) -> None:
    mine = [await daemon.open(path) for path in ("/v1/events/stream", RUN_PATH)]
    other = await daemon.open("/v1/events/stream", key="org-a/two")
    assert daemon.hub.close_tagged("one", "the key was revoked") == 2
    for stream in mine:
        assert await stream.rest() == []
    wanted = await daemon.emit(event(1))
    assert ids(await other.take(1)) == wanted


async def test_the_daemons_stop_ends_streams_and_takes_no_more(daemon: Daemon) -> None:
    stream = await daemon.open("/v1/events/stream")
    daemon.streams.stop()
    assert await stream.rest() == []
    status, body, headers = await daemon.get("/v1/events/stream")
    assert (status, body["error"]["code"], headers["Retry-After"]) == (503, "unavailable", "10")


@pytest.mark.parametrize(
    ("settings", "other_key", "message"),
    [
        (StreamSettings(streams_per_principal_max=2), "org-a/two", "2 streams are open with this credential"),
        (StreamSettings(streams_max=2), None, "too many streams are open"),
    ],
)
async def test_too_many_streams_are_429(
    start_daemon: StartDaemon, settings: StreamSettings, other_key: str | None, message: str
) -> None:
    daemon = await start_daemon(settings=settings)
    streams = [await daemon.open("/v1/events/stream"), await daemon.open(RUN_PATH)]
    status, body, headers = await daemon.get("/v1/events/stream")
    assert (status, body["error"]["code"], headers["Retry-After"]) == (429, "rate_limited", "10")
    assert body["error"]["message"].startswith(message)
    if other_key is not None:
        await daemon.open("/v1/events/stream", key=other_key)
    streams[0].response.close()
    await until(lambda: daemon.streams.count == (2 if other_key else 1))
    await daemon.open("/v1/events/stream")


async def test_a_client_that_leaves_is_forgotten(daemon: Daemon) -> None:
    streams = [await daemon.open(path) for path in ("/v1/events/stream", RUN_PATH)]
    assert daemon.hub.reader_count == daemon.streams.count == 2
    for stream in streams:
        stream.response.close()
    await until(lambda: daemon.streams.count == 0)
    assert daemon.hub.reader_count == 0
    await daemon.emit(event(1))


async def _open_raw(daemon: Daemon, path: str = "/v1/events/stream") -> socket.socket:
    """A reader with a small window that takes nothing yet."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", daemon.listener.port))
    request = f"GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    await loop.sock_sendall(sock, request.encode())
    return sock


async def _emit_until_it_hangs(daemon: Daemon) -> int:
    count = 0
    (stream,) = daemon.streams._open
    while not stream._writing:
        await daemon.emit(*(Event("org-a", "big", "s", {"n": count + place, "x": "x" * 2000}) for place in range(50)))
        count += 50
        await asyncio.sleep(0)
    return count


async def test_a_reader_that_does_not_read_loses_nothing(start_daemon: StartDaemon) -> None:
    daemon = await start_daemon(queue_max=100)
    sock = await _open_raw(daemon)
    await until(lambda: daemon.streams.count == 1)
    count = await _emit_until_it_hangs(daemon)
    for _ in range(10):
        await daemon.emit(*(Event("org-a", "big", "s", {"n": count + place, "x": "x" * 2000}) for place in range(50)))
        count += 50
    (stream,) = daemon.streams._open
    assert stream.feed.reader.missed  # the queue did not grow with it
    received = b""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(60):
        while f'"n":{count - 1},'.encode() not in received[-10_000:]:
            received += await loop.sock_recv(sock, 1 << 20)
    sock.close()
    assert [int(n) for n in re.findall(rb'"n":(\d+),', received)] == list(range(count))


@pytest.mark.parametrize("reason", ["revoked", "stop", "stalled"])
async def test_a_reader_that_hangs_in_a_write_is_cut(
    daemon: Daemon, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sock = await _open_raw(daemon)
    await until(lambda: daemon.streams.count == 1)
    await _emit_until_it_hangs(daemon)
    if reason == "revoked":
        daemon.hub.close_tagged("one", "the key was revoked")
    elif reason == "stop":
        daemon.streams.stop()
    else:
        monkeypatch.setattr("alloyd.wire.stream.STALL_S", -1.0)
        daemon.streams._tick()
    await until(lambda: daemon.streams.count == 0)
    sock.close()


async def test_a_stream_whose_database_fails_is_broken_off_not_ended(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = await daemon.open("/v1/events/stream")

    async def fail(*_args: object) -> list[Event]:
        raise AlloydError(Code.UNAVAILABLE, "gone")

    monkeypatch.setattr(daemon.log, "list_of_orgs", fail)
    (open_stream,) = daemon.streams._open
    open_stream.feed.reader.missed = True
    await daemon.emit(event(1))
    with pytest.raises(Exception, match=r"payload|disconnect|reset"):
        await stream.response.content.read()
    await until(lambda: daemon.streams.count == 0)


async def test_head_tells_the_headers_and_ends(daemon: Daemon) -> None:
    for path in ("/v1/events/stream", RUN_PATH):
        status, body, headers = await daemon.get(path, method="HEAD")
        assert (status, body, headers["Content-Type"]) == (200, None, "text/event-stream")
    assert daemon.streams.count == 0


@pytest.mark.parametrize("key", [None, "nonsense"])
async def test_no_credential_is_401(daemon: Daemon, key: str | None) -> None:
    status, body, headers = await daemon.get("/v1/events/stream", key)
    assert (status, body["error"]["code"], headers["WWW-Authenticate"]) == (401, "unauthorized", "Bearer")


async def test_many_readers_get_one_encoding(daemon: Daemon) -> None:
    streams: list[Frames] = [await daemon.open("/v1/events/stream") for _ in range(60)]
    for number in range(5):
        await daemon.emit(event(number))
    for stream in streams:
        assert [one["payload"]["n"] for one in await stream.take(5)] == list(range(5))
