"""Teammates as models: `teammate/<id>` is asked like any other, with its own instructions, model and tools."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from alloyd.domain.authz.model import Resource
from alloyd.domain.authz.service import authorize
from alloyd.domain.providers.messages import read_prompt
from alloyd.domain.providers.model import LENGTH, TEXT, Finished, ImagePart, Used
from alloyd.domain.providers.service import Streamed
from alloyd.domain.teammates.model import Channel, Message, PastMessage, Teammate
from alloyd.domain.teammates.service import TeammateService
from alloyd.errors import AlloydError, Code, bad_request
from alloyd.kit.clock import Clock
from alloyd.principal import Principal
from alloyd.wire.idempotency import read_once
from alloyd.wire.openai.answers import Chunks, completion
from alloyd.wire.openai.codec import no_model
from alloyd.wire.openai.shapes import ChatBody, ChatCompletion, ModelObject, tells_usage, usage_of
from alloyd.wire.provider_stream import Frame, ProviderStreams
from alloyd.wire.replies import get_on_channel, stream_reply, tell_sent
from alloyd.wire.route import Call

PREFIX: Final = "teammate/"
ACTION: Final = "teammate.message"
# OpenAI's clients send again what failed: a message would be said twice.
_DO_NOT_REPEAT: Final = "X-Should-Retry"
_TURNS_USED_UP: Final = "max_turns"
_A_PAGE: Final = 200


class TeammateModels:
    """What the routes of models and of chat do with a teammate. ``wait_s_max``: how long a reply is waited for."""

    def __init__(self, teammates: TeammateService, streams: ProviderStreams, clock: Clock, wait_s_max: int) -> None:
        self._teammates = teammates
        self._streams = streams
        self._clock = clock
        self._wait_s_max = wait_s_max

    async def list_models(self, who: Principal) -> list[ModelObject]:
        """Those that ``who`` may talk to here; an organization has a bounded number of them."""
        found: list[Teammate] = []
        before_id: str | None = None
        while True:
            page = await self._teammates.list_page(who, before_id, _A_PAGE)
            found += page
            if len(page) < _A_PAGE:
                break
            before_id = page[-1].id
        return [_model(one) for one in found if one.channel is Channel.API and who.may(ACTION, "teammate", one.id)]

    async def get_model(self, who: Principal, name: str) -> ModelObject:
        """One of the list. Raises ``not_found``."""
        teammate = await self._get(who, name)
        if not who.may(ACTION, "teammate", teammate.id):
            raise no_model()
        return _model(teammate)

    async def _get(self, who: Principal, name: str) -> Teammate:
        try:
            return await get_on_channel(self._teammates, who, name.removeprefix(PREFIX))
        except AlloydError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            raise no_model() from None

    async def complete(self, call: Call, body: ChatBody) -> ChatCompletion | web.StreamResponse | None:
        """Say the last message, with those before it as what was said; no conversation is kept here."""
        teammate = await self._get(call.who, body.model)
        authorize(call.who, ACTION, Resource("teammate", teammate.id, call.who.org_id))
        message = _message(body)
        once = read_once(call)
        if body.stream:
            return await self._stream(call, body, teammate, message)
        sent = await self._teammates.send(call.who, teammate.id, message, once=once)
        tell_sent(call, sent)
        call.add_header(_DO_NOT_REPEAT, "false", with_errors=True)
        reply = await self._teammates.await_reply(call.who, sent.run_id, self._wait_s_max)
        output = {"text": reply.text, "finish_reason": _finish(reply.finish)}
        used = Used(reply.usage.input_tokens, reply.usage.output_tokens)
        return completion(body.model, self._now_s(), output, usage_of(used, reply.usage.cost_micro_usd))

    async def _stream(
        self, call: Call, body: ChatBody, teammate: Teammate, message: Message
    ) -> web.StreamResponse | None:
        def framer(streamed: Streamed) -> Frame:
            call.add_header(_DO_NOT_REPEAT, "false", with_errors=True)  # now it is said
            chunks = Chunks(
                lambda: body.model,
                lambda finished: usage_of(finished.used, streamed.cost_micro_usd),
                self._now_s(),
                tells_usage(body),
            )
            return lambda item: chunks.frame(_in_its_words(item) if isinstance(item, Finished) else item)

        return await stream_reply(call, self._teammates, self._streams, teammate.id, message, read_once(call), framer)

    def _now_s(self) -> int:
        return self._clock.now_ms() // 1000


def _model(one: Teammate) -> ModelObject:
    return ModelObject(PREFIX + one.id, "model", one.created_at // 1000, "alloyd", one.name)


def _finish(word: str) -> Any:
    """In this format's vocabulary: a teammate whose turns were used up was cut short."""
    return LENGTH if word == _TURNS_USED_UP else word


def _in_its_words(end: Finished) -> Finished:
    return Finished(_finish(end.finish_reason), end.used, end.model)


def _message(body: ChatBody) -> Message:
    """What is said. Raises ``bad_request`` naming what a teammate does not take."""
    for name in ("tools", "tool_choice", "response_format"):
        given = getattr(body, name)
        if given and given not in ("none", {"type": "text"}):
            raise bad_request(f"{name}: a teammate has its own tools and form; leave it out", name)
    messages = read_prompt(TEXT, {"messages": body.messages}, {}).messages
    for one in messages:
        if one.tool_calls or one.role == "tool":
            raise bad_request("messages: a teammate is not told of another's tool calls", "messages")
        if any(isinstance(part, ImagePart) for part in one.parts):
            raise bad_request("messages: a teammate is told texts only", "messages")
    if messages[-1].role != "user":
        raise bad_request("messages: the last one has to be the user's", "messages")
    history = tuple(PastMessage(one.role, one.text) for one in messages[:-1] if one.text)
    return Message(messages[-1].text, history=history)
