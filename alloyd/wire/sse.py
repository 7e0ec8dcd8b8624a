"""Server-sent events: one coroutine a reader, frames encoded once for all readers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import msgspec
from aiohttp import web

from alloyd.events.model import Story
from alloyd.principal import Principal
from alloyd.wire.route import Call, Sink
from alloyd.wire.stream import Stream, Streams, last_event_id, log

MEDIA_TYPE = "text/event-stream"
HEADERS = {
    "Content-Type": MEDIA_TYPE,
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
    "Server": "alloyd",
}

_OPENED = b": open\n\n"
_HEARTBEAT = b": heartbeat\n\n"

# Raises ``not_found`` for a run or job that the caller may not see; tells whether it has ended.
CheckStory = Callable[[Principal, str], Awaitable[bool]]


async def stream_story(
    call: Call, streams: Streams, story: Story, check: CheckStory, after: str | None = None
) -> web.StreamResponse | None:
    """One run's or job's history, then what happens, until its terminal event.

    Contract: control, "Events and streams". ``Last-Event-ID``, or ``after``, resumes; an unknown id replays all.
    ``check`` is awaited once the reader is open. Raises what ``check`` raises, ``rate_limited`` and ``unavailable``.
    """
    stream = streams.open(call, {call.who.org_id}, story=story)
    try:
        is_over = await check(call.who, story.id)
        event_id = last_event_id(call, after)
        if event_id is None:
            stream.feed.replay(is_over=is_over)
        else:
            await stream.feed.resume(event_id, is_over=is_over)
        return await _serve(call, stream)
    finally:
        streams.release(stream)


async def stream_events(
    call: Call, streams: Streams, org_ids: Collection[str], kinds: frozenset[str] | None, after: str | None = None
) -> web.StreamResponse | None:
    """All events of ``org_ids``, from now on or after ``Last-Event-ID`` (or ``after``); an unknown id replays all.

    ``kinds`` narrows them. Raises ``rate_limited`` and ``unavailable``.
    """
    stream = streams.open(call, org_ids, kinds=kinds)
    try:
        event_id = last_event_id(call, after)
        if event_id is not None:
            await stream.feed.resume(event_id)
        return await _serve(call, stream)
    finally:
        streams.release(stream)


async def _serve(call: Call, stream: Stream) -> web.StreamResponse | None:
    if call.sink is not None:
        await _tell(call.sink, stream)
        return None
    response = web.StreamResponse(headers={**HEADERS, "X-Request-Id": call.request_id})
    writer = await response.prepare(call.request)
    if writer is None or call.request.method == "HEAD":
        return response
    stream.bound_socket()
    try:
        await stream.send(writer, (_OPENED,))
        while (batches := await stream.feed.read()) is not None:
            await stream.send(writer, [batch.to_frames() for batch in batches] or (_HEARTBEAT,))
    except ConnectionError:
        pass  # the reader left
    except Exception:
        # The answer has begun, so it can't turn into an error: break it off, and the reader resumes.
        log.exception("stream broken off", request_id=call.request_id)
        stream.cut()
    return response


async def _tell(sink: Sink, stream: Stream) -> None:
    """Hand each event to ``sink``, one at a time: what it has no room for waits in the table."""
    await sink.open()
    while (batches := await stream.feed.read()) is not None:
        for batch in batches:
            for event in batch.events:
                await sink.send(msgspec.json.decode(event.to_json()))
