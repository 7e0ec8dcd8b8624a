"""Server-sent events, however they are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloyd.domain.providers import eventstream
from alloyd.domain.providers.eventstream import EventParser, EventTooLargeError, ServerEvent

BODY = b": hi\nid: 1\nevent: a\ndata: one\ndata:two\r\n\r\n\n\ndata: \xc3\xa4\nretry: 3\n\nevent: lost\n\ndata: end"
EVENTS = [ServerEvent("a", b"one\ntwo"), ServerEvent("", "ä".encode()), ServerEvent("", b"end")]


@given(st.lists(st.integers(0, len(BODY)), max_size=12))
def test_events_do_not_depend_on_the_cuts(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(BODY)]
    parser = EventParser()
    found: list[ServerEvent] = []
    for start, end in itertools.pairwise(places):
        found += parser.feed(BODY[start:end])
    assert found + parser.finish() == EVENTS


@pytest.mark.parametrize("pieces", [[b"data: " + b"x" * 50], [b"x" * 21] * 3, [b"data: 123456789\n"] * 9])
def test_an_event_without_end_is_refused(pieces: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventstream, "EVENT_BYTES_MAX", 20)
    with pytest.raises(EventTooLargeError):
        feed_all([*pieces, b"\n\n"])


def feed_all(pieces: list[bytes]) -> None:
    parser = EventParser()
    for piece in pieces:
        parser.feed(piece)
