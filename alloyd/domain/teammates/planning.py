"""What a teammate is as a message comes: its tools, and what a model is sent first."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from alloyd.db import Database, Tx
from alloyd.domain.connectors.model import params_schema
from alloyd.domain.connectors.service import ConnectorService
from alloyd.domain.operations.teammate_model import AskedTeammate, KeptTurn, Plan, PlannedTool
from alloyd.domain.teammates import store
from alloyd.domain.teammates.conversations import begin
from alloyd.domain.teammates.model import (
    ConnectorTool,
    Message,
    PastMessage,
    Teammate,
    TeammateSettings,
    WorkflowTool,
    check_message,
)
from alloyd.domain.workflows.service import WorkflowService
from alloyd.errors import AlloydError, Code, bad_request, not_found
from alloyd.kit.ids import is_uuid, new_id
from alloyd.principal import Principal, system_principal

TOOL_NAME_CHARS_MAX: Final = 64
DESCRIPTION_CHARS_MAX: Final = 1024
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_-]+")
_ANYTHING: Final[dict[str, Any]] = {"type": "object", "properties": {}}
_READ: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"path": {"type": "string", "description": "The file's path."}},
    "required": ["path"],
    "additionalProperties": False,
}
_LIST: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "The folder's path."},
        "cursor": {"type": "string", "description": "The next_cursor of the page before."},
    },
    "required": ["path"],
    "additionalProperties": False,
}
_WRITE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "The file's path; missing folders are made."},
        "content": {"type": "string", "description": "The whole new content."},
    },
    "required": ["path", "content"],
    "additionalProperties": False,
}


class TeammatePlanner:
    """Gives steps what they need of teammates."""

    def __init__(
        self, database: Database, workflows: WorkflowService, connectors: ConnectorService, settings: TeammateSettings
    ) -> None:
        self._database = database
        self._workflows = workflows
        self._connectors = connectors
        self._settings = settings

    async def plan(self, org_id: str, asked: AskedTeammate) -> tuple[Plan, list[dict[str, Any]]]:
        """The teammate, and the messages that a model is sent first.

        Raises ``not_found`` (the teammate, the conversation), ``bad_request`` naming the field, ``too_large``.
        """
        message = _read_message(asked)
        settings = self._settings

        def read(conn: sqlite3.Connection) -> tuple[Teammate, list[PastMessage]]:
            find = store.find if is_uuid(asked.teammate) else store.find_by_name
            one = find(conn, org_id, asked.teammate)
            if one is None:
                raise not_found("teammate")
            if message.conversation_id is None:
                return one, list(message.history or ())
            if store.find_conversation(conn, org_id, one.id, message.conversation_id) is None:
                raise not_found("conversation")
            newest = store.list_messages(conn, org_id, message.conversation_id, None, settings.history_messages_max)
            return one, [PastMessage(past.role, past.text) for past in reversed(newest)]

        one, past = await self._database.read(read)
        tools = await self.list_tools(org_id, one)
        begins = message.conversation_id is None and message.history is None
        plan = Plan(
            one.id,
            one.name,
            message.text,
            _system(one),
            one.max_turns,
            settings.tool_calls_per_turn_max,
            settings.tool_result_chars_max,
            settings.turns_bytes_max,
            conversation_id=new_id() if begins else message.conversation_id,
            begins=begins,
            provider=one.provider,
            model=one.model,
            tier=one.tier,
            temperature=one.temperature,
            tools=tools,
            read_folders=one.storage.read,
            write_folders=one.storage.write,
        )
        return plan, _messages(message, bounded(past, settings.history_messages_max, settings.history_chars_max))

    async def list_tools(self, org_id: str, one: Teammate) -> tuple[PlannedTool, ...]:
        """The tools as a model is offered them. One that leads to something that is gone is left out."""
        principal = system_principal(org_id)
        found: list[PlannedTool] = []
        for tool in one.tools:
            planned = await (
                self._workflow_tool(principal, tool)
                if isinstance(tool, WorkflowTool)
                else self._connector_tool(principal, tool)
            )
            if planned is not None:
                found.append(planned)
        found.extend(_storage_tools(one))
        return tuple(_told_apart(found))

    async def _workflow_tool(self, principal: Principal, tool: WorkflowTool) -> PlannedTool | None:
        try:
            runnable = await self._workflows.get_runnable(principal.org_id, tool.workflow)
            version = await self._workflows.get(principal, runnable.workflow_id, runnable.version)
        except AlloydError as error:
            if error.code not in (Code.NOT_FOUND, Code.UNPROCESSABLE):
                raise
            return None
        definition = version.definition
        schema, told = definition.get("payload_schema"), definition.get("description")
        description = tool.description or (told if isinstance(told, str) else "") or f"Runs {runnable.name}."
        return PlannedTool(
            _tool_name(runnable.name),
            "workflow",
            description[:DESCRIPTION_CHARS_MAX],
            schema if isinstance(schema, dict) and schema.get("type") == "object" else _ANYTHING,
            {"workflow": runnable.workflow_id},
        )

    async def _connector_tool(self, principal: Principal, tool: ConnectorTool) -> PlannedTool | None:
        try:
            connector = await self._connectors.get(principal, tool.connector)
        except AlloydError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            return None
        action = connector.definition.find_action(tool.action)
        if action is None:
            return None
        target = {"connector": tool.connector, "action": tool.action}
        if tool.credential is not None:
            target["credential"] = tool.credential
        description = tool.description or action.description or f"{tool.connector}: {tool.action}"
        name = _tool_name(f"{tool.connector}_{tool.action}")
        return PlannedTool(name, "connector", description[:DESCRIPTION_CHARS_MAX], params_schema(action), target)

    def keep(self, tx: Tx, turn: KeptTurn) -> None:
        """Write a turn, in the commit that ends its step. Nothing is kept once teammate or conversation are gone."""
        if turn.begins and store.find(tx.conn, turn.org_id, turn.teammate_id) is not None:
            begin(tx, turn.org_id, turn.started_by, turn.teammate_id, turn.conversation_id, self._settings)
        texts = (turn.message, turn.reply)
        messages_max = self._settings.conversation_messages_max
        store.append_turn(tx, turn.org_id, turn.conversation_id, turn.run_id, texts, messages_max)


def _read_message(asked: AskedTeammate) -> Message:
    history = None
    if asked.history is not None:
        try:
            history = msgspec.convert(asked.history, tuple[PastMessage, ...])
        except msgspec.ValidationError as error:
            raise bad_request(f"history: {error}", "history") from None
    message = Message(asked.message, asked.conversation_id, asked.context, history)
    check_message(message)
    return message


def bounded(past: Sequence[PastMessage], messages_max: int, chars_max: int) -> list[PastMessage]:
    """The newest of ``past`` that fit, in their order; what the caller says as the system stays in any case."""
    kept: list[PastMessage] = []
    count = chars = 0
    full = False
    for one in reversed(past):
        if one.role != "system":
            count, chars = count + 1, chars + len(one.text)
            full = full or count > messages_max or chars > chars_max
            if full:
                continue
        kept.append(one)
    kept.reverse()
    return kept


def _messages(message: Message, past: Iterable[PastMessage]) -> list[dict[str, Any]]:
    """As ``ai.generate`` takes them. An empty message of the past is left out: models take none."""
    said = [{"role": one.role, "content": one.text} for one in past if one.text]
    if message.context is not None:
        context = msgspec.json.encode(message.context).decode()
        said.append({"role": "user", "content": f"Context of the next message, as JSON: {context}"})
    return [*said, {"role": "user", "content": message.text}]


def _system(one: Teammate) -> str:
    told = [f"You are {one.name}, {one.role}." if one.role else f"You are {one.name}."]
    if one.instructions.strip():
        told.append(one.instructions)
    return "\n\n".join(told)


def _storage_tools(one: Teammate) -> list[PlannedTool]:
    read, write = one.storage.read, one.storage.write
    tools = []
    if read:
        folders = _within(read)
        tools.append(PlannedTool("storage_read", "storage_read", f"Reads a file {folders}.", _READ))
        tools.append(PlannedTool("storage_list", "storage_list", f"Lists a folder {folders}.", _LIST))
    if write:
        tools.append(PlannedTool("storage_write", "storage_write", f"Writes a text file {_within(write)}.", _WRITE))
    return tools


def _within(folders: tuple[str, ...]) -> str:
    return f"in one of these folders, or below: {', '.join(folders)}"[: DESCRIPTION_CHARS_MAX - 32]


def _tool_name(text: str) -> str:
    return _UNFIT.sub("_", text).strip("_")[:TOOL_NAME_CHARS_MAX] or "tool"


def _told_apart(tools: list[PlannedTool]) -> Iterable[PlannedTool]:
    """Each with a name of its own: a second ``report`` is ``report_2``."""
    taken: set[str] = set()
    for tool in tools:
        name, number = tool.name, 1
        while name in taken:
            number += 1
            name = f"{tool.name[: TOOL_NAME_CHARS_MAX - 4]}_{number}"
        taken.add(name)
        yield msgspec.structs.replace(tool, name=name)
