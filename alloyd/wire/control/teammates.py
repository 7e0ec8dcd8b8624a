"""`/v1/teammates`: an organization's AI teammates, what is said to them, and their conversations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from alloyd.domain.teammates.model import MESSAGE_BYTES_MAX, Message
from alloyd.domain.teammates.service import TeammateService
from alloyd.wire.control.teammate_shapes import (
    ChangeTeammateBody,
    ConversationDetailJson,
    ConversationJson,
    CreateTeammateBody,
    DeletedTeammate,
    MessageBody,
    ReplyJson,
    TeammateJson,
    TeammateQuery,
    conversation_members,
    message_json,
    new_teammate,
    teammate_change,
    teammate_json,
)
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.idempotency import read_once
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.provider_stream import ProviderStreams
from alloyd.wire.replies import stream_reply, usage_json, wants_stream
from alloyd.wire.route import Call, FindOwner, Route
from alloyd.wire.sse import MEDIA_TYPE

# A message of the largest size, escaped as JSON may have it.
_BODY_BYTES_MAX: Final = 2 * MESSAGE_BYTES_MAX


class Teammates:
    """The handlers of `/v1/teammates`. ``reply_wait_s`` bounds how long a reply is waited for, in seconds."""

    def __init__(
        self, teammates: TeammateService, streams: ProviderStreams, limits: PageLimits, reply_wait_s: int
    ) -> None:
        self._teammates = teammates
        self._streams = streams
        self._reply_wait_s = reply_wait_s
        self._pager = Pager("teammates", limits, str)
        self._conversations = Pager("conversations", limits, str)
        self._messages = Pager("conversation_messages", limits, int)

    async def post_teammate(self, call: Call) -> TeammateJson:
        """Control contract: `POST /v1/teammates`."""
        body: CreateTeammateBody = call.body
        organization_of(call, body.organization_id)
        once = read_once(call, body.idempotency_key)
        return teammate_json(await self._teammates.create(call.who, new_teammate(body), once))

    async def list_teammates(self, call: Call) -> Sequence[TeammateJson]:
        """Control contract: `GET /v1/teammates`, newest first."""
        query: TeammateQuery = call.query
        organization_of(call, query.organization_id)
        page = self._pager.read(query)
        found = await self._teammates.list_page(call.who, page.after[0] if page.after else None, page.fetch)
        return [teammate_json(one) for one in self._pager.cut(call, page, found, lambda one: (one.id,))]

    async def get_teammate(self, call: Call) -> TeammateJson:
        """Control contract: `GET /v1/teammates/{id}`, with a link to its request log."""
        one = await self._teammates.get(call.who, call.param("id"))
        call.links = {"runs": f"/v1/workflow-runs?teammate_id={one.id}"}
        return teammate_json(one)

    async def patch_teammate(self, call: Call) -> TeammateJson:
        """Control contract: `PATCH /v1/teammates/{id}`."""
        change = teammate_change(call.body)
        return teammate_json(await self._teammates.update(call.who, call.param("id"), change))

    async def delete_teammate(self, call: Call) -> DeletedTeammate:
        """Control contract: `DELETE /v1/teammates/{id}`."""
        await self._teammates.delete(call.who, call.param("id"))
        return DeletedTeammate(call.param("id"))

    async def post_message(self, call: Call) -> ReplyJson | web.StreamResponse | None:
        """Say something, and wait for the reply; with `Accept: text/event-stream` it comes as it is written."""
        body: MessageBody = call.body
        message = Message(body.message, body.conversation_id, body.context)
        once = read_once(call, body.idempotency_key)
        if wants_stream(call):
            return await stream_reply(call, self._teammates, self._streams, call.param("id"), message, once)
        sent = await self._teammates.send(call.who, call.param("id"), message, once=once)
        reply = await self._teammates.await_reply(call.who, sent.run_id, self._reply_wait_s)
        return ReplyJson(
            run_id=reply.run_id,
            conversation_id=reply.conversation_id,
            reply=reply.text,
            usage=usage_json(reply.usage),
            finish_reason=reply.finish,
            provider_id=reply.provider_id,
            model=reply.model,
        )

    async def list_conversations(self, call: Call) -> Sequence[ConversationJson]:
        """A teammate's conversations, newest first."""
        page = self._conversations.read(call.query)
        after = page.after[0] if page.after else None
        found = await self._teammates.conversations.list_page(call.who, call.param("id"), after, page.fetch)
        kept = self._conversations.cut(call, page, found, lambda one: (one.id,))
        return [ConversationJson(**conversation_members(one)) for one in kept]

    async def get_conversation(self, call: Call) -> ConversationDetailJson:
        """A conversation with its newest messages; `links.next` leads to earlier ones."""
        page = self._messages.read(call.query)
        after = page.after[0] if page.after else None
        talks, ids = self._teammates.conversations, (call.param("id"), call.param("conversation_id"))
        one = await talks.get(call.who, *ids)
        found = await talks.list_messages(call.who, *ids, after, page.fetch)
        kept = self._messages.cut(call, page, found, lambda message: (message.number,))
        return ConversationDetailJson(**conversation_members(one), messages=[message_json(each) for each in kept])

    async def delete_conversation(self, call: Call) -> DeletedTeammate:
        """Forget a conversation for good."""
        conversation_id = call.param("conversation_id")
        await self._teammates.conversations.delete(call.who, call.param("id"), conversation_id)
        return DeletedTeammate(conversation_id)


def routes(
    teammates: TeammateService, streams: ProviderStreams, limits: PageLimits, *, reply_wait_s: int
) -> list[Route]:
    """The routes of this file. ``reply_wait_s``: how long a request may wait for a reply, in seconds."""
    api = Teammates(teammates, streams, limits, reply_wait_s)
    owner = teammates.find_organization
    return [*_routes_of_all(api), *_routes_of_one(api, owner), *_routes_of_talks(api, owner)]


def _routes_of_all(api: Teammates) -> list[Route]:
    return [
        Route(
            "POST",
            "/teammates",
            api.post_teammate,
            "teammate.write",
            "Make an AI teammate, with the workflow that answers",
            body=CreateTeammateBody,
            output=TeammateJson,
            status=201,
            statuses=(404, 409),
        ),
        Route(
            "GET",
            "/teammates",
            api.list_teammates,
            "teammate.read",
            "The organization's AI teammates",
            query=TeammateQuery,
            output=list[TeammateJson],
            statuses=(404,),
        ),
    ]


def _routes_of_one(api: Teammates, owner: FindOwner) -> list[Route]:
    one = "/teammates/{id}"
    return [
        Route(
            "GET",
            one,
            api.get_teammate,
            "teammate.read",
            "One AI teammate",
            output=TeammateJson,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "PATCH",
            one,
            api.patch_teammate,
            "teammate.write",
            "Change an AI teammate",
            body=ChangeTeammateBody,
            output=TeammateJson,
            statuses=(404, 409),
            owner=owner,
        ),
        Route(
            "DELETE",
            one,
            api.delete_teammate,
            "teammate.write",
            "Delete an AI teammate with its conversations and its workflow; keys bound to it are revoked",
            output=DeletedTeammate,
            statuses=(404,),
            owner=owner,
        ),
    ]


def _routes_of_talks(api: Teammates, owner: FindOwner) -> list[Route]:
    talks = "/teammates/{id}/conversations"
    return [
        Route(
            "POST",
            "/teammates/{id}/messages",
            api.post_message,
            "teammate.message",
            "Say something to an AI teammate, whatever its channel; the reply comes whole or as a stream",
            body=MessageBody,
            output=ReplyJson,
            streams=MEDIA_TYPE,
            statuses=(404, 409, 422, 429, 502, 503),
            body_bytes_max=_BODY_BYTES_MAX,
            owner=owner,
        ),
        Route(
            "GET",
            talks,
            api.list_conversations,
            "teammate.read",
            "An AI teammate's conversations",
            query=PageQuery,
            output=list[ConversationJson],
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "GET",
            f"{talks}/{{conversation_id}}",
            api.get_conversation,
            "teammate.read",
            "One conversation with its messages, newest first",
            query=PageQuery,
            output=ConversationDetailJson,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "DELETE",
            f"{talks}/{{conversation_id}}",
            api.delete_conversation,
            "teammate.message",
            "Forget a conversation; its runs stay as long as runs do",
            output=DeletedTeammate,
            statuses=(404,),
            owner=owner,
        ),
    ]
