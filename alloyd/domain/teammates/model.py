"""What a teammate is and may be told, and the bounds of both."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from alloyd.domain.runs.model import RunState, StepError
from alloyd.errors import AlloydError, Code, bad_request
from alloyd.kit.ids import is_uuid
from alloyd.kit.paths import parse_path
from alloyd.kit.text import fault_of_line

NAME_CHARS_MAX: Final = 100
ROLE_CHARS_MAX: Final = 200
INSTRUCTIONS_CHARS_MAX: Final = 32_768
WORD_CHARS_MAX: Final = 200  # of a provider, model, tier, workflow, connector, action or credential
DESCRIPTION_CHARS_MAX: Final = 1024
TOOLS_MAX: Final = 64
FOLDERS_MAX: Final = 64
TURNS_MAX: Final = 50
TURNS_DEFAULT: Final = 8
TEMPERATURE_MAX: Final = 2.0
PER_ORG_MAX: Final = 1000
MESSAGE_BYTES_MAX: Final = 1024 * 1024  # text, context and history together (contract: teammates)
HISTORY_MESSAGES_MAX: Final = 1000  # that a caller may give
EXCERPT_CHARS_MAX: Final = 120  # of what a conversation began with
TRIGGER_KIND: Final = "teammate"


class Channel(StrEnum):
    """Where others may talk to it from, beside workflows and the organization's own page."""

    NONE = "none"
    WEBCHAT = "webchat"
    API = "api"


class WorkflowTool(msgspec.Struct, frozen=True, tag_field="type", tag="workflow", forbid_unknown_fields=True):
    """A workflow that it may run, by id or name. ``description`` tells the model when to."""

    workflow: str
    description: str | None = None


class ConnectorTool(msgspec.Struct, frozen=True, tag_field="type", tag="connector", forbid_unknown_fields=True):
    """An action of a connector that it may ask for; ``credential`` as ``connector.action`` takes it."""

    connector: str
    action: str
    credential: str | None = None
    description: str | None = None


Tool = WorkflowTool | ConnectorTool


class StorageRights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Folders that it may read, or write, with all that is below them; ``/`` is everything."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()


class Teammate(msgspec.Struct, frozen=True):
    """An organization's AI worker; times are ms since the epoch. ``workflow_id`` is what a message to it runs.

    ``talked_at``: when a conversation with it went on, of those that are kept.
    """

    id: str
    org_id: str
    name: str
    role: str
    instructions: str
    provider: str | None
    model: str | None
    tier: str | None
    temperature: float | None
    tools: tuple[Tool, ...]
    storage: StorageRights
    channel: Channel
    max_turns: int
    workflow_id: str
    created_by: str
    created_at: int
    updated_at: int
    talked_at: int | None = None


class NewTeammate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The wish for a teammate. Without provider, model and tier the gateway chooses."""

    name: str
    role: str = ""
    instructions: str = ""
    provider: str | None = None
    model: str | None = None
    tier: str | None = None
    temperature: float | None = None
    tools: tuple[Tool, ...] = ()
    storage: StorageRights = StorageRights()
    channel: Channel = Channel.NONE
    max_turns: int = TURNS_DEFAULT


class TeammateChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The wish for a change: what is not set stays; null takes away."""

    name: str | UnsetType = UNSET
    role: str | UnsetType = UNSET
    instructions: str | UnsetType = UNSET
    provider: str | UnsetType | None = UNSET
    model: str | UnsetType | None = UNSET
    tier: str | UnsetType | None = UNSET
    temperature: float | UnsetType | None = UNSET
    tools: tuple[Tool, ...] | UnsetType = UNSET
    storage: StorageRights | UnsetType = UNSET
    channel: Channel | UnsetType = UNSET
    max_turns: int | UnsetType = UNSET


class PastMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One earlier message that a caller gives: ``role`` is user, assistant or system."""

    role: str
    text: str


class Message(msgspec.Struct, frozen=True):
    """What is said to a teammate.

    Without ``conversation_id`` a new conversation begins. ``context`` is JSON that the model is shown beside the text,
    and that is not kept. With ``history`` the caller has the earlier messages, and no conversation is kept here.
    """

    text: str
    conversation_id: str | None = None
    context: Any = None
    history: tuple[PastMessage, ...] | None = None


class Sent(msgspec.Struct, frozen=True):
    """A message that is durable: its run, and its conversation, None where the caller keeps the history."""

    run_id: str
    conversation_id: str | None


class Usage(msgspec.Struct, frozen=True):
    """What the models used for a reply, all turns together. The cost is None where a price is not known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: int | None = 0


class Reply(msgspec.Struct, frozen=True):
    """What a teammate answered. ``finish`` is ``stop``, ``length``, ``max_turns`` or ``content_filter``."""

    run_id: str
    conversation_id: str | None
    text: str
    usage: Usage
    finish: str = "stop"
    model: str | None = None
    provider_id: str | None = None


class Outcome(msgspec.Struct, frozen=True):
    """How a message stands: ``reply`` once its run is completed, ``error`` when that failed or was cancelled."""

    run_id: str
    conversation_id: str | None
    status: RunState
    reply: Reply | None = None
    error: StepError | None = None


class Conversation(msgspec.Struct, frozen=True):
    """A conversation with a teammate; times are ms since the epoch. ``messages``: how many are kept, ``excerpt``: how
    the oldest of those begins, None while there is none."""

    id: str
    org_id: str
    teammate_id: str
    created_by: str
    created_at: int
    updated_at: int
    messages: int
    excerpt: str | None = None


class ConversationMessage(msgspec.Struct, frozen=True):
    """One message of a conversation: ``role`` is user or assistant, ``number`` its place, from 1."""

    number: int
    role: str
    text: str
    run_id: str
    created_at: int


class TeammateSettings(msgspec.Struct, frozen=True):
    """Bounds; the configuration's group ``teammates``."""

    history_messages_max: int = 50
    history_chars_max: int = 100_000
    tool_result_chars_max: int = 50_000
    tool_calls_per_turn_max: int = 16
    conversation_messages_max: int = 1000
    conversations_max: int = 10_000
    stream_chars_max: int = 1024 * 1024
    turns_bytes_max: int = 16 * 1024 * 1024


# -- checks ---------------------------------------------------------------------------------------------------------


def check_new(new: NewTeammate) -> NewTeammate:
    """``new`` with its folders in their one form. Raises ``bad_request`` naming the field."""
    _line(new.name, "name", NAME_CHARS_MAX)
    if new.role:
        _line(new.role, "role", ROLE_CHARS_MAX)
    if len(new.instructions) > INSTRUCTIONS_CHARS_MAX:
        raise bad_request(f"instructions: at most {INSTRUCTIONS_CHARS_MAX} characters", "instructions")
    _check_text(new.instructions, "instructions")
    for field in ("provider", "model", "tier"):
        _word(getattr(new, field), field)
    if new.temperature is not None and not 0 <= new.temperature <= TEMPERATURE_MAX:
        raise bad_request(f"temperature: 0 to {TEMPERATURE_MAX:g} is wanted", "temperature")
    if not 1 <= new.max_turns <= TURNS_MAX:
        raise bad_request(f"max_turns: 1 to {TURNS_MAX} is wanted", "max_turns")
    if len(new.tools) > TOOLS_MAX:
        raise bad_request(f"tools: at most {TOOLS_MAX}", "tools")
    for index, tool in enumerate(new.tools):
        _check_tool(tool, f"tools[{index}]")
    rights = StorageRights(_folders(new.storage.read, "storage.read"), _folders(new.storage.write, "storage.write"))
    return msgspec.structs.replace(new, storage=rights)


def changed(teammate: Teammate, change: TeammateChange) -> NewTeammate:
    """What the teammate would be made from after ``change``, checked. Raises ``bad_request`` naming the field."""
    given = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
    before = {name: getattr(teammate, name) for name in NewTeammate.__struct_fields__}
    return check_new(NewTeammate(**{**before, **given}))


def check_message(message: Message) -> None:
    """Raises ``bad_request`` naming the field, ``too_large``."""
    if not message.text.strip():
        raise bad_request("message: some text is wanted", "message")
    _check_text(message.text, "message")
    if message.conversation_id is not None and not is_uuid(message.conversation_id):
        raise bad_request("conversation_id: the id of a conversation is wanted", "conversation_id")
    if message.history is not None:
        if message.conversation_id is not None:
            raise bad_request("conversation_id: not beside history", "conversation_id")
        if len(message.history) > HISTORY_MESSAGES_MAX:
            raise bad_request(f"history: at most {HISTORY_MESSAGES_MAX} messages", "history")
        for index, past in enumerate(message.history):
            if past.role not in ("user", "assistant", "system"):
                raise bad_request(f"history[{index}].role: user, assistant or system is wanted", f"history[{index}]")
            _check_text(past.text, f"history[{index}].text")
    size = len(message.text.encode())
    size += len(msgspec.json.encode(message.context)) if message.context is not None else 0
    size += sum(len(past.text.encode()) for past in message.history or ())
    if size > MESSAGE_BYTES_MAX:
        raise AlloydError(Code.TOO_LARGE, f"message: larger than {MESSAGE_BYTES_MAX} bytes", field="message")


def _check_tool(tool: Tool, place: str) -> None:
    words = ("workflow",) if isinstance(tool, WorkflowTool) else ("connector", "action", "credential")
    for field in words:
        value = getattr(tool, field)
        if value is None and field == "credential":
            continue
        _line(value, f"{place}.{field}", WORD_CHARS_MAX)
    if tool.description is not None:
        if len(tool.description) > DESCRIPTION_CHARS_MAX:
            raise bad_request(
                f"{place}.description: at most {DESCRIPTION_CHARS_MAX} characters", f"{place}.description"
            )
        _check_text(tool.description, f"{place}.description")


def _folders(given: tuple[str, ...], field: str) -> tuple[str, ...]:
    if len(given) > FOLDERS_MAX:
        raise bad_request(f"{field}: at most {FOLDERS_MAX} folders", field)
    return tuple(dict.fromkeys(str(parse_path(path, f"{field}[{index}]")) for index, path in enumerate(given)))


def _line(text: str, field: str, chars_max: int) -> None:
    fault = fault_of_line(text, chars_max)
    if fault is not None:
        raise bad_request(f"{field}: {fault}", field)


def _word(text: str | None, field: str) -> None:
    if text is not None:
        _line(text, field, WORD_CHARS_MAX)


def _check_text(text: str, field: str) -> None:
    if "\0" in text:
        raise bad_request(f"{field}: holds a NUL character", field)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise bad_request(f"{field}: is no Unicode text", field) from None
