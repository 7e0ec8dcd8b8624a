"""All SQL of teammates and their conversations."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from alloyd.db.tx import Tx
from alloyd.domain.teammates.model import (
    EXCERPT_CHARS_MAX,
    Channel,
    Conversation,
    ConversationMessage,
    StorageRights,
    Teammate,
    Tool,
)

_TOOLS: msgspec.json.Decoder[tuple[Tool, ...]] = msgspec.json.Decoder(tuple[Tool, ...])
_PLAIN = tuple(name for name in Teammate.__struct_fields__ if name not in ("tools", "storage", "channel"))
_FOLDERS: msgspec.json.Decoder[tuple[str, ...]] = msgspec.json.Decoder(tuple[str, ...])


def insert(tx: Tx, one: Teammate) -> None:
    """Write a new teammate. Raises sqlite3.IntegrityError when the name is taken in the organization."""
    tx.execute(
        "INSERT INTO teammates (id, org_id, name, role, instructions, provider, model, tier, temperature, tools, "
        "read_folders, write_folders, channel, max_turns, workflow_id, created_by, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (one.id, one.org_id, *_changeable(one), one.workflow_id, one.created_by, one.created_at, one.updated_at),
    )


def update(tx: Tx, one: Teammate) -> None:
    """Write what may change. Raises sqlite3.IntegrityError when the name is taken in the organization."""
    tx.execute(
        "UPDATE teammates SET name = ?, role = ?, instructions = ?, provider = ?, model = ?, tier = ?, "
        "temperature = ?, tools = ?, read_folders = ?, write_folders = ?, channel = ?, max_turns = ?, updated_at = ? "
        "WHERE id = ? AND org_id = ? AND deleted_at IS NULL",
        (*_changeable(one), one.updated_at, one.id, one.org_id),
    )


def _changeable(one: Teammate) -> tuple[Any, ...]:
    encode = msgspec.json.encode
    return (
        one.name,
        one.role,
        one.instructions,
        one.provider,
        one.model,
        one.tier,
        one.temperature,
        encode(one.tools).decode(),
        encode(one.storage.read).decode(),
        encode(one.storage.write).decode(),
        one.channel.value,
        one.max_turns,
    )


def mark_deleted(tx: Tx, org_id: str, teammate_id: str) -> None:
    """It is not found any more; :func:`delete_some` takes away what belongs to it."""
    tx.execute("UPDATE teammates SET deleted_at = ? WHERE id = ? AND org_id = ?", (tx.now, teammate_id, org_id))


def list_deleted(conn: sqlite3.Connection) -> list[tuple[str, str]]:
    """``(org_id, id)`` of those whose conversations are not all gone yet. All organizations: recovery."""
    return list(conn.execute("SELECT org_id, id FROM teammates WHERE deleted_at IS NOT NULL"))


def delete_some(tx: Tx, org_id: str, teammate_id: str, rows_max: int) -> bool:
    """Delete at most about ``rows_max`` rows of a deleted teammate, itself last; whether all is gone."""
    row = tx.execute(
        "SELECT id FROM conversations WHERE org_id = ? AND teammate_id = ? LIMIT 1", (org_id, teammate_id)
    ).fetchone()
    if row is None:
        tx.execute(
            "DELETE FROM teammates WHERE id = ? AND org_id = ? AND deleted_at IS NOT NULL", (teammate_id, org_id)
        )
        return True
    if delete_messages(tx, org_id, row[0], rows_max) < rows_max:
        delete_conversation(tx, org_id, teammate_id, row[0])
    return False


_COLUMNS = (
    "SELECT id, org_id, name, role, instructions, provider, model, tier, temperature, tools, read_folders, "
    "write_folders, channel, max_turns, workflow_id, created_by, created_at, updated_at, "
    "(SELECT max(updated_at) FROM conversations WHERE org_id = teammates.org_id AND teammate_id = teammates.id) "
    "FROM teammates "
)
FIND = _COLUMNS + "WHERE org_id = ? AND id = ? AND deleted_at IS NULL"
FIND_BY_NAME = _COLUMNS + "WHERE org_id = ? AND name = ? AND deleted_at IS NULL"
FIND_BY_WORKFLOW = _COLUMNS + "WHERE org_id = ? AND workflow_id = ? AND deleted_at IS NULL"
LIST = _COLUMNS + "WHERE org_id = ?1 AND (?2 IS NULL OR id < ?2) AND deleted_at IS NULL ORDER BY id DESC LIMIT ?3"


def find(conn: sqlite3.Connection, org_id: str, teammate_id: str) -> Teammate | None:
    """The organization's teammate of that id."""
    row = conn.execute(FIND, (org_id, teammate_id)).fetchone()
    return None if row is None else _teammate(row)


def find_by_name(conn: sqlite3.Connection, org_id: str, name: str) -> Teammate | None:
    """The organization's teammate of that name."""
    row = conn.execute(FIND_BY_NAME, (org_id, name)).fetchone()
    return None if row is None else _teammate(row)


def find_by_workflow(conn: sqlite3.Connection, org_id: str, workflow_id: str) -> Teammate | None:
    """The organization's teammate whose messages run that workflow."""
    row = conn.execute(FIND_BY_WORKFLOW, (org_id, workflow_id)).fetchone()
    return None if row is None else _teammate(row)


def find_org_id(conn: sqlite3.Connection, teammate_id: str) -> str | None:
    """The organization that a teammate belongs to."""
    row = conn.execute("SELECT org_id FROM teammates WHERE id = ? AND deleted_at IS NULL", (teammate_id,)).fetchone()
    return None if row is None else row[0]


def list_before(conn: sqlite3.Connection, org_id: str, before_id: str | None, limit: int) -> list[Teammate]:
    """An organization's teammates with ids below ``before_id`` (None: from the newest), newest first."""
    return [_teammate(row) for row in conn.execute(LIST, (org_id, before_id, limit))]


def count(conn: sqlite3.Connection, org_id: str) -> int:
    """How many teammates the organization has."""
    row = conn.execute("SELECT count(*) FROM teammates WHERE org_id = ? AND deleted_at IS NULL", (org_id,)).fetchone()
    found: int = row[0]
    return found


def _teammate(row: tuple[Any, ...]) -> Teammate:
    tools, read, write, channel = row[9:13]
    own = dict(zip(_PLAIN, (*row[:9], *row[13:]), strict=True))
    rights = StorageRights(_FOLDERS.decode(read), _FOLDERS.decode(write))
    return Teammate(**own, tools=_TOOLS.decode(tools), storage=rights, channel=Channel(channel))


# -- conversations --------------------------------------------------------------------------------------------------


def insert_conversation(tx: Tx, one: Conversation) -> None:
    """A new conversation, with nothing in it."""
    tx.execute(
        "INSERT INTO conversations (id, org_id, teammate_id, created_by, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (one.id, one.org_id, one.teammate_id, one.created_by, one.created_at, one.updated_at),
    )


def count_conversations(tx: Tx, org_id: str, teammate_id: str) -> int:
    """How many conversations a teammate has."""
    row = tx.execute(
        "SELECT count(*) FROM conversations WHERE org_id = ? AND teammate_id = ?", (org_id, teammate_id)
    ).fetchone()
    found: int = row[0]
    return found


def find_least_used(tx: Tx, org_id: str, teammate_id: str) -> str | None:
    """The conversation that nobody has said anything in for the longest time."""
    row = tx.execute(
        "SELECT id FROM conversations WHERE org_id = ? AND teammate_id = ? ORDER BY updated_at, id LIMIT 1",
        (org_id, teammate_id),
    ).fetchone()
    return None if row is None else row[0]


_CONVERSATIONS = (
    "SELECT id, org_id, teammate_id, created_by, created_at, updated_at, kept, "
    "(SELECT substr(text, 1, ?1) FROM conversation_messages WHERE org_id = conversations.org_id "
    "AND conversation_id = conversations.id ORDER BY number LIMIT 1) FROM conversations "
)
FIND_CONVERSATION = _CONVERSATIONS + "WHERE org_id = ?2 AND teammate_id = ?3 AND id = ?4"
LIST_CONVERSATIONS = (
    _CONVERSATIONS + "WHERE org_id = ?2 AND teammate_id = ?3 AND (?4 IS NULL OR id < ?4) ORDER BY id DESC LIMIT ?5"
)


def find_conversation(conn: sqlite3.Connection, org_id: str, teammate_id: str, id_: str) -> Conversation | None:
    """The teammate's conversation of that id."""
    row = conn.execute(FIND_CONVERSATION, (EXCERPT_CHARS_MAX, org_id, teammate_id, id_)).fetchone()
    return None if row is None else Conversation(*row)


def list_conversations(
    conn: sqlite3.Connection, org_id: str, teammate_id: str, before_id: str | None, limit: int
) -> list[Conversation]:
    """A teammate's conversations, newest first, those with ids below ``before_id``."""
    rows = conn.execute(LIST_CONVERSATIONS, (EXCERPT_CHARS_MAX, org_id, teammate_id, before_id, limit))
    return [Conversation(*row) for row in rows]


def delete_conversation(tx: Tx, org_id: str, teammate_id: str, id_: str) -> bool:
    """Whether there was one to delete; its messages are deleted before."""
    gone = tx.execute(
        "DELETE FROM conversations WHERE org_id = ? AND teammate_id = ? AND id = ?", (org_id, teammate_id, id_)
    )
    return gone.rowcount == 1


def delete_messages(tx: Tx, org_id: str, conversation_id: str, rows_max: int) -> int:
    """Delete at most ``rows_max`` of a conversation's messages; how many there were."""
    return tx.execute(
        "DELETE FROM conversation_messages WHERE org_id = ?1 AND conversation_id = ?2 AND number IN (SELECT number "
        "FROM conversation_messages WHERE org_id = ?1 AND conversation_id = ?2 ORDER BY number LIMIT ?3)",
        (org_id, conversation_id, rows_max),
    ).rowcount


def append_turn(
    tx: Tx, org_id: str, conversation_id: str, run_id: str, texts: tuple[str, str], messages_max: int
) -> bool:
    """Add what was said and what was answered, and forget the oldest above ``messages_max``.

    False, and nothing is written, when the conversation is gone.
    """
    row = tx.execute(
        "UPDATE conversations SET messages = messages + 2, kept = min(kept + 2, ?), updated_at = ? "
        "WHERE org_id = ? AND id = ? RETURNING messages",
        (messages_max, tx.now, org_id, conversation_id),
    ).fetchone()
    if row is None:
        return False
    last: int = row[0]
    tx.executemany(
        "INSERT INTO conversation_messages (conversation_id, number, org_id, role, text, run_id, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (conversation_id, last - 1, org_id, "user", texts[0], run_id, tx.now),
            (conversation_id, last, org_id, "assistant", texts[1], run_id, tx.now),
        ],
    )
    tx.execute(
        "DELETE FROM conversation_messages WHERE org_id = ? AND conversation_id = ? AND number <= ?",
        (org_id, conversation_id, last - messages_max),
    )
    return True


def list_messages(
    conn: sqlite3.Connection, org_id: str, conversation_id: str, before: int | None, limit: int
) -> list[ConversationMessage]:
    """A conversation's messages, newest first, those with numbers below ``before``."""
    rows = conn.execute(
        "SELECT number, role, text, run_id, created_at FROM conversation_messages "
        "WHERE org_id = ?1 AND conversation_id = ?2 AND (?3 IS NULL OR number < ?3) ORDER BY number DESC LIMIT ?4",
        (org_id, conversation_id, before, limit),
    )
    return [ConversationMessage(*row) for row in rows]
