from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from tests.load.dechunk import Dechunker
from tests.load.story import Follower, Split, Story, split_sse, split_websocket

TIMESTAMP = '"timestamp":"2026-01-02T03:04:05.678Z"'


def sse(number: int, more: str = "") -> bytes:
    return f'id: {number}\nevent: a.b\ndata: {{"id":"{number}","more":"{more}",{TIMESTAMP}}}\n\n'.encode()


def websocket(number: int, more: str = "") -> bytes:
    text = f'{{"id":"{number}","more":"{more}",{TIMESTAMP}}}'.encode()
    if len(text) < 126:
        return bytes((0x81, len(text))) + text
    if len(text) < 0x10000:
        return struct.pack("!BBH", 0x81, 126, len(text)) + text
    return struct.pack("!BBQ", 0x81, 127, len(text)) + text


DIALECTS = pytest.mark.parametrize(
    ("split", "frame", "aside"), [(split_sse, sse, b": heartbeat\n\n"), (split_websocket, websocket, b"\x89\x02hi")]
)


@DIALECTS
@pytest.mark.parametrize("size", [1, 2, 7, 40, 1000])
def test_readers_agree_however_the_bytes_are_cut(split: Split, frame: Callable[..., bytes], aside: bytes, size: int):
    story = Story(split)
    data = b"".join((frame(3), aside, frame(5, "x" * 200), frame(9), aside, frame(10)))
    followers = [Follower(story, str(number)) for number in range(3)]
    answered = [
        ping
        for start in range(0, len(data), size)
        for follower in followers
        for ping in follower.feed(data[start : start + size])
    ]
    assert story.ids == [3, 5, 9, 10]
    assert story.faults == []
    assert [(follower.last_id, follower.had) for follower in followers] == [(10, 4)] * 3
    assert answered == ([b"hi"] * 6 if split is split_websocket else [])


@DIALECTS
@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ([1, 2, 2, 3], "second: event 2 after 2: once more"),
        ([1, 2, 3, 1, 2, 3], "second: event 1 after 3: once more"),
        ([1, 3], "second: event 3 after 1: 1 events are missing"),
        ([1, 2, 4], "second: event 4, which others did not get"),
    ],
)
def test_a_gap_and_a_repeat_are_found(
    split: Split, frame: Callable[..., bytes], aside: bytes, numbers: list[int], fault: str
):
    story = Story(split)
    for number in (1, 2, 3, 5):
        Follower(story, "one").feed(frame(number)) if number == 1 else None
        if number > 1:
            story.append(number, frame(number))
    second = Follower(story, "second")
    second.feed(b"".join(frame(number) for number in numbers))
    assert story.faults[0] == fault


@DIALECTS
def test_an_event_that_reads_otherwise_is_found(split: Split, frame: Callable[..., bytes], aside: bytes):
    story = Story(split)
    Follower(story, "first").feed(frame(1) + frame(2))
    Follower(story, "second").feed(frame(1) + frame(2, "not the same"))
    assert story.fault_count == 1
    assert "second: event 2 is not what others got" in story.faults[0]


@DIALECTS
def test_a_reader_goes_on_behind_its_last_whole_event(split: Split, frame: Callable[..., bytes], aside: bytes):
    story = Story(split)
    follower, other = Follower(story, "cut"), Follower(story, "other")
    other.feed(frame(1) + frame(2) + frame(3))
    follower.feed(frame(1) + frame(2) + frame(3)[:20])
    assert follower.last_id == 2
    follower.reconnect()
    follower.feed(aside + frame(3) + frame(4))
    assert (follower.last_id, story.faults) == (4, [])
    follower.reconnect()
    follower.feed(frame(4))
    assert story.fault_count == 1


def test_a_long_message_is_read():
    story = Story(split_websocket)
    Follower(story, "one").feed(websocket(1, "x" * 70_000))
    assert story.ids == [1]
    assert story.committed_ms == [1767323045678.0]


@pytest.mark.parametrize(
    ("split", "data"),
    [(split_sse, b"data: 1\n\n"), (split_websocket, b"\x88\x02\x03\xe8"), (split_websocket, b"\x81\x02{}")],
)
def test_what_is_no_event_is_an_error(split: Split, data: bytes):
    with pytest.raises(ValueError, match="not an event"):
        Follower(Story(split), "one").feed(data)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_chunks_are_taken_apart(size: int):
    data = b"3\r\nabc\r\nA\r\n0123456789\r\n1\r\n\n\r\n"
    chunks = Dechunker()
    assert b"".join(chunks.feed(data[at : at + size]) for at in range(0, len(data), size)) == b"abc0123456789\n"
