"""How teammates, and what is said to them, look on the control plane."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from alloyd.domain.teammates import model
from alloyd.domain.teammates.model import TURNS_DEFAULT, Channel, Conversation, ConversationMessage, Teammate
from alloyd.kit.clock import rfc3339
from alloyd.kit.text import OPTIONAL_LINE_PATTERN
from alloyd.wire.fields import SAID_PATTERN, IdempotencyKey, StoragePath, line, told
from alloyd.wire.paging import PageQuery
from alloyd.wire.replies import UsageJson

UUID_PATTERN: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

TeammateName = Annotated[str, line(model.NAME_CHARS_MAX)]
TeammateRole = Annotated[str, told(maxLength=model.ROLE_CHARS_MAX, pattern=OPTIONAL_LINE_PATTERN)]
Instructions = Annotated[str, told(maxLength=model.INSTRUCTIONS_CHARS_MAX)]
Word = Annotated[str, line(model.WORD_CHARS_MAX)]
ToolDescription = Annotated[str, told(maxLength=model.DESCRIPTION_CHARS_MAX)]
Temperature = Annotated[float, told(minimum=0, maximum=model.TEMPERATURE_MAX)]
MaxTurns = Annotated[int, told(minimum=1, maximum=model.TURNS_MAX)]
Folders = Annotated[tuple[StoragePath, ...], told(maxItems=model.FOLDERS_MAX)]


class WorkflowToolJson(msgspec.Struct, frozen=True, kw_only=True, tag="workflow", forbid_unknown_fields=True):
    """A workflow that the teammate may run, by id or name; `description` tells the model when to."""

    workflow: Word
    description: ToolDescription | None = None


class ConnectorToolJson(msgspec.Struct, frozen=True, kw_only=True, tag="connector", forbid_unknown_fields=True):
    """An action of a connector that it may ask for, with the credential that a `connector.action` step would take."""

    connector: Word
    action: Word
    credential: Word | None = None
    description: ToolDescription | None = None


Tools = Annotated[tuple[WorkflowToolJson | ConnectorToolJson, ...], told(maxItems=model.TOOLS_MAX)]


class StorageRightsJson(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Folders that it may read, or write, with all that is below them; `/` is everything."""

    read: Folders = ()
    write: Folders = ()


class CreateTeammateBody(msgspec.Struct, frozen=True, kw_only=True):
    """A new teammate. Without `provider`, `model` and `tier` the gateway chooses who answers."""

    name: TeammateName
    role: TeammateRole = ""
    instructions: Instructions = ""
    provider: Word | None = None
    model: Word | None = None
    tier: Word | None = None
    temperature: Temperature | None = None
    tools: Tools = ()
    storage: StorageRightsJson = StorageRightsJson()
    channel: Channel = Channel.NONE
    max_turns: MaxTurns = TURNS_DEFAULT
    organization_id: str | None = None
    idempotency_key: IdempotencyKey | None = None


class ChangeTeammateBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different; what is not there stays. Null takes away; `tools` and `storage` are replaced whole."""

    name: TeammateName | UnsetType = UNSET
    role: TeammateRole | UnsetType = UNSET
    instructions: Instructions | UnsetType = UNSET
    provider: Word | UnsetType | None = UNSET
    model: Word | UnsetType | None = UNSET
    tier: Word | UnsetType | None = UNSET
    temperature: Temperature | UnsetType | None = UNSET
    tools: Tools | UnsetType = UNSET
    storage: StorageRightsJson | UnsetType = UNSET
    channel: Channel | UnsetType = UNSET
    max_turns: MaxTurns | UnsetType = UNSET


class TeammateQuery(PageQuery, frozen=True, kw_only=True):
    """The query of the list."""

    organization_id: str | None = None


class TeammateJson(msgspec.Struct, frozen=True, kw_only=True):
    """A teammate. `workflow_id` is what a message to it runs, `last_message_at` when a conversation with it went on."""

    id: str
    organization_id: str
    name: str
    role: str
    instructions: str
    provider: str | None
    model: str | None
    tier: str | None
    temperature: float | None
    tools: tuple[WorkflowToolJson | ConnectorToolJson, ...]
    storage: StorageRightsJson
    channel: Channel
    max_turns: int
    workflow_id: str
    created_by: str
    created_at: str
    updated_at: str
    last_message_at: str | None


class MessageBody(msgspec.Struct, frozen=True, kw_only=True):
    """Something to say. Without `conversation_id` a new conversation begins; `context` is JSON for this turn alone."""

    message: Annotated[str, told(minLength=1, pattern=SAID_PATTERN)]
    conversation_id: Annotated[str, told(pattern=UUID_PATTERN)] | None = None
    context: Any = None
    idempotency_key: IdempotencyKey | None = None


class ReplyJson(msgspec.Struct, frozen=True, kw_only=True):
    """What the teammate answered. `finish_reason`: `stop`, `length`, `max_turns` or `content_filter`."""

    run_id: str
    conversation_id: str | None
    reply: str
    usage: UsageJson
    finish_reason: str
    provider_id: str | None
    model: str | None


class ConversationJson(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation; `messages_count` is how many messages of it are kept, `excerpt` how the oldest one begins."""

    id: str
    teammate_id: str
    messages_count: int
    excerpt: str | None
    created_by: str
    created_at: str
    updated_at: str


class ConversationMessageJson(msgspec.Struct, frozen=True, kw_only=True):
    """One message: `role` is `user` or `assistant`, `number` its place in the conversation, from 1."""

    number: int
    role: str
    text: str
    run_id: str
    created_at: str


class ConversationDetailJson(ConversationJson, frozen=True, kw_only=True):
    """A conversation with a page of its messages, newest first; `links.next` leads to earlier ones."""

    messages: list[ConversationMessageJson]


class DeletedTeammate(msgspec.Struct, frozen=True):
    """The id of what is gone."""

    id: str


def new_teammate(body: CreateTeammateBody) -> model.NewTeammate:
    """What ``body`` wishes for."""
    return model.NewTeammate(
        body.name,
        body.role,
        body.instructions,
        body.provider,
        body.model,
        body.tier,
        body.temperature,
        _tools(body.tools),
        _rights(body.storage),
        body.channel,
        body.max_turns,
    )


def teammate_change(body: ChangeTeammateBody) -> model.TeammateChange:
    """What ``body`` changes."""
    return model.TeammateChange(
        body.name,
        body.role,
        body.instructions,
        body.provider,
        body.model,
        body.tier,
        body.temperature,
        UNSET if body.tools is UNSET else _tools(body.tools),
        UNSET if body.storage is UNSET else _rights(body.storage),
        body.channel,
        body.max_turns,
    )


def _tools(given: tuple[WorkflowToolJson | ConnectorToolJson, ...]) -> tuple[model.Tool, ...]:
    return tuple(
        model.WorkflowTool(tool.workflow, tool.description)
        if isinstance(tool, WorkflowToolJson)
        else model.ConnectorTool(tool.connector, tool.action, tool.credential, tool.description)
        for tool in given
    )


def _rights(given: StorageRightsJson) -> model.StorageRights:
    return model.StorageRights(given.read, given.write)


def teammate_json(one: Teammate) -> TeammateJson:
    """``one`` on the wire."""
    return TeammateJson(
        id=one.id,
        organization_id=one.org_id,
        name=one.name,
        role=one.role,
        instructions=one.instructions,
        provider=one.provider,
        model=one.model,
        tier=one.tier,
        temperature=one.temperature,
        tools=tuple(_tool_json(tool) for tool in one.tools),
        storage=StorageRightsJson(read=one.storage.read, write=one.storage.write),
        channel=one.channel,
        max_turns=one.max_turns,
        workflow_id=one.workflow_id,
        created_by=one.created_by,
        created_at=rfc3339(one.created_at),
        updated_at=rfc3339(one.updated_at),
        last_message_at=None if one.talked_at is None else rfc3339(one.talked_at),
    )


def _tool_json(tool: model.Tool) -> WorkflowToolJson | ConnectorToolJson:
    if isinstance(tool, model.WorkflowTool):
        return WorkflowToolJson(workflow=tool.workflow, description=tool.description)
    return ConnectorToolJson(
        connector=tool.connector, action=tool.action, credential=tool.credential, description=tool.description
    )


def conversation_members(one: Conversation) -> dict[str, Any]:
    """``one`` on the wire, as members."""
    return {
        "id": one.id,
        "teammate_id": one.teammate_id,
        "messages_count": one.messages,
        "excerpt": one.excerpt,
        "created_by": one.created_by,
        "created_at": rfc3339(one.created_at),
        "updated_at": rfc3339(one.updated_at),
    }


def message_json(one: ConversationMessage) -> ConversationMessageJson:
    """``one`` on the wire."""
    return ConversationMessageJson(
        number=one.number, role=one.role, text=one.text, run_id=one.run_id, created_at=rfc3339(one.created_at)
    )
