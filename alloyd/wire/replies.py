"""What a teammate answers, as every surface tells it: what it used, and its words while they are written."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

import msgspec
from aiohttp import web

from alloyd.domain.idempotency.model import Once
from alloyd.domain.providers.model import Delta, Finished, TextDelta, Used
from alloyd.domain.providers.service import Streamed
from alloyd.domain.teammates.model import Message, Reply
from alloyd.domain.teammates.model import Usage as ReplyUsage
from alloyd.domain.teammates.service import TeammateService
from alloyd.wire.provider_stream import ProviderStreams, serve_pieces
from alloyd.wire.route import Call
from alloyd.wire.sse import MEDIA_TYPE

# A stream has no place for them before its words, and who talks on needs the conversation.
RUN_HEADER: Final = "X-Alloyd-Run-Id"
CONVERSATION_HEADER: Final = "X-Alloyd-Conversation-Id"
_MICRO: Final = 1_000_000


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
) -> web.StreamResponse | None:
    """Say ``message`` and write the reply as it is made. Contract: control, "Provider streams".

    What fails before the first word is an ordinary error. When the reader leaves, the run goes on. Headers tell the
    run and the conversation.
    """
    with streams.entered(call.who.id):  # before anything is said: who has too many streams has said nothing
        sent = await teammates.send(call.who, teammate_id, message, once=once, listen=True)
        headers = {RUN_HEADER: sent.run_id}
        if sent.conversation_id is not None:
            headers[CONVERSATION_HEADER] = sent.conversation_id
        streamed = Streamed()
        pieces = deltas_of(teammates.stream_reply(call.who, sent.run_id), streamed)
        try:
            first = await anext(pieces)
            return await serve_pieces(call, first, pieces, streamed, headers, streams.settings.heartbeat_s)
        finally:
            await pieces.aclose()
