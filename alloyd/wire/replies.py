"""What a teammate answers, as every surface tells it: what it used, and its words while they are written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

import msgspec
from aiohttp import web

from alloyd.domain.idempotency.model import Once
from alloyd.domain.providers.model import Delta, Finished, TextDelta, Used
from alloyd.domain.providers.service import Streamed
from alloyd.domain.teammates.model import Channel, Message, Reply, Sent, Teammate
from alloyd.domain.teammates.model import Usage as ReplyUsage
from alloyd.domain.teammates.service import TeammateService
from alloyd.errors import not_found
from alloyd.principal import Principal
from alloyd.wire.provider_stream import Frame, ProviderStreams, begin, serve_pieces
from alloyd.wire.route import Call
from alloyd.wire.sse import MEDIA_TYPE

# A stream has no place for them before its words, and who talks on needs the conversation.
RUN_HEADER: Final = "X-Alloyd-Run-Id"
CONVERSATION_HEADER: Final = "X-Alloyd-Conversation-Id"
_MICRO: Final = 1_000_000

# Of what becomes of a stream, how its pieces are written.
Framer = Callable[[Streamed], Frame]


class UsageJson(msgspec.Struct, frozen=True):
    """What the models used for a reply, all turns together; ``cost_usd`` is null where no price is known."""

    input_tokens: int
    output_tokens: int
    cost_usd: float | None


def usage_json(usage: ReplyUsage) -> UsageJson:
    """``usage`` on the wire."""
    cost = None if usage.cost_micro_usd is None else usage.cost_micro_usd / _MICRO
    return UsageJson(usage.input_tokens, usage.output_tokens, cost)


def wants_stream(call: Call) -> bool:
    """Whether ``Accept`` asks for server-sent events: named as such, for what takes anything takes JSON."""
    accepted = ",".join(call.request.headers.getall("Accept", ())).lower()
    return any(one.partition(";")[0].strip() == MEDIA_TYPE for one in accepted.split(","))


async def deltas_of(words: AsyncGenerator[str | Reply], streamed: Streamed) -> AsyncGenerator[Delta]:
    """``words``, which end with the whole reply, as the pieces of a provider's stream; ``streamed`` is told the end."""
    try:
        async for piece in words:
            if isinstance(piece, str):
                yield TextDelta(piece)
                continue
            streamed.provider_id, streamed.model = piece.provider_id or "", piece.model or ""
            streamed.cost_micro_usd = piece.usage.cost_micro_usd
            yield Finished(piece.finish, Used(piece.usage.input_tokens, piece.usage.output_tokens), streamed.model)
    finally:
        await words.aclose()


async def stream_reply(
    call: Call,
    teammates: TeammateService,
    streams: ProviderStreams,
    teammate_id: str,
    message: Message,
    once: Once | None = None,
    framer: Framer | None = None,
) -> web.StreamResponse | None:
    """Say ``message`` and write the reply as it is made. Contract: control, "Provider streams", unless there is a
    ``framer``.

    What fails before the first word, and before a first sign of life is due, is an ordinary error. When the reader
    leaves, the run goes on. Headers tell the run and the conversation.
    """
    with streams.entered(call.who.id):  # before anything is said: who has too many streams has said nothing
        sent = await teammates.send(call.who, teammate_id, message, once=once, listen=True)
        tell_sent(call, sent)
        streamed, heartbeat_s = Streamed(), streams.settings.heartbeat_s
        frame = None if framer is None else framer(streamed)
        pieces = deltas_of(teammates.stream_reply(call.who, sent.run_id), streamed)
        try:
            first, rest = await begin(pieces, heartbeat_s)
            async with aclosing(rest):
                return await serve_pieces(call, first, rest, streamed, call.headers or {}, heartbeat_s, frame)
        finally:
            await pieces.aclose()


async def get_on_channel(teammates: TeammateService, principal: Principal, teammate_id: str) -> Teammate:
    """The teammate, if other systems may talk to it. Raises ``not_found`` for one that is not there in the same words
    as for one whose channel is another. Contract: teammates, "API channel"."""
    teammate = await teammates.get(principal, teammate_id)
    if teammate.channel is not Channel.API:
        raise not_found("teammate")
    return teammate


def tell_sent(call: Call, sent: Sent) -> None:
    """Name the run and the conversation in headers, also when the reply becomes an error."""
    call.add_header(RUN_HEADER, sent.run_id, with_errors=True)
    if sent.conversation_id is not None:
        call.add_header(CONVERSATION_HEADER, sent.conversation_id, with_errors=True)
