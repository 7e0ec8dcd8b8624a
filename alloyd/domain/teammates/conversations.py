"""Use cases of conversations: list, show, delete; and how a turn is written."""

from __future__ import annotations

import sqlite3

from alloyd.db import Database, Tx
from alloyd.domain.teammates import store
from alloyd.domain.teammates.model import Conversation, ConversationMessage, TeammateSettings
from alloyd.errors import not_found
from alloyd.events.model import Event
from alloyd.principal import Principal

_WHAT = "conversation"
_ROWS_A_WRITE = 500


class ConversationService:
    """The conversations of an organization's teammates."""

    def __init__(self, database: Database, settings: TeammateSettings) -> None:
        self._database = database
        self._settings = settings

    async def list_page(
        self, principal: Principal, teammate_id: str, before_id: str | None, limit: int
    ) -> list[Conversation]:
        """A page of a teammate's conversations, newest first. Raises ``not_found`` (the teammate)."""
        org_id = principal.org_id

        def read(conn: sqlite3.Connection) -> list[Conversation]:
            if store.find(conn, org_id, teammate_id) is None:
                raise not_found("teammate")
            return store.list_conversations(conn, org_id, teammate_id, before_id, limit)

        return await self._database.read(read)

    async def get(self, principal: Principal, teammate_id: str, conversation_id: str) -> Conversation:
        """One conversation. Raises ``not_found``."""
        return await self._database.read(lambda conn: require(conn, principal.org_id, teammate_id, conversation_id))

    async def list_messages(
        self, principal: Principal, teammate_id: str, conversation_id: str, before: int | None, limit: int
    ) -> list[ConversationMessage]:
        """A page of a conversation's messages, newest first, those with numbers below ``before``.

        Raises ``not_found``.
        """
        org_id = principal.org_id

        def read(conn: sqlite3.Connection) -> list[ConversationMessage]:
            require(conn, org_id, teammate_id, conversation_id)
            return store.list_messages(conn, org_id, conversation_id, before, limit)

        return await self._database.read(read)

    async def delete(self, principal: Principal, teammate_id: str, conversation_id: str) -> None:
        """Forget a conversation for good; its runs stay as long as runs do. A turn under way is answered, not kept.

        Raises ``not_found``. Emits ``teammate.conversation_deleted``.
        """
        org_id = principal.org_id

        def write(tx: Tx) -> None:
            require(tx.conn, org_id, teammate_id, conversation_id)
            remove(tx, org_id, teammate_id, conversation_id, self._settings.conversation_messages_max)
            payload = {"conversation_id": conversation_id}
            tx.emit(Event(org_id, "teammate.conversation_deleted", teammate_id, payload))

        await self._database.write(write)

    async def delete_of_teammate(self, org_id: str, teammate_id: str) -> None:
        """Take away all of a deleted teammate's, a little at a time, and then the teammate's row."""
        while not await self._database.write(lambda tx: store.delete_some(tx, org_id, teammate_id, _ROWS_A_WRITE)):
            pass


def require(conn: sqlite3.Connection, org_id: str, teammate_id: str, conversation_id: str) -> Conversation:
    """The conversation, of a teammate that is there. Raises ``not_found``."""
    if store.find(conn, org_id, teammate_id) is not None:
        found = store.find_conversation(conn, org_id, teammate_id, conversation_id)
        if found is not None:
            return found
    raise not_found(_WHAT)


def remove(tx: Tx, org_id: str, teammate_id: str, conversation_id: str, messages_max: int) -> None:
    """Delete a conversation, which has at most ``messages_max`` messages."""
    store.delete_messages(tx, org_id, conversation_id, messages_max + 2)
    store.delete_conversation(tx, org_id, teammate_id, conversation_id)


def begin(
    tx: Tx, org_id: str, created_by: str, teammate_id: str, conversation_id: str, settings: TeammateSettings
) -> None:
    """A new conversation; where there are as many as there may be, the one that rested longest is forgotten."""
    if store.count_conversations(tx, org_id, teammate_id) >= settings.conversations_max:
        oldest = store.find_least_used(tx, org_id, teammate_id)
        if oldest is not None:
            remove(tx, org_id, teammate_id, oldest, settings.conversation_messages_max)
    one = Conversation(conversation_id, org_id, teammate_id, created_by, tx.now, tx.now, 0)
    store.insert_conversation(tx, one)
