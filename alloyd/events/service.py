"""Joins the database to the hub: what a write emits becomes rows, then reaches the readers."""

from __future__ import annotations

from collections.abc import Collection

from alloyd.db import Database, Tx
from alloyd.events import store
from alloyd.events.hub import Hub
from alloyd.events.model import Event, Story
from alloyd.events.pages import Pages


class EventLog:
    """The table of events and its hub. ``await start()`` before the first write."""

    def __init__(self, database: Database, hub: Hub) -> None:
        self.hub = hub
        self._database = database
        self._next_id = 1
        self.pages = Pages(self._read_page)

    async def start(self) -> None:
        """Read where the ids go on, and take what writes emit from now on."""
        self._next_id = await self._database.read(store.find_last_id) + 1
        self.hub.last_id = self._next_id - 1
        self._database.connect_events(self._write_rows, self.hub.publish)

    def _write_rows(self, tx: Tx) -> None:
        # On the writer's thread only, so the counter needs no lock. A rolled-back id is never used again.
        first = self._next_id
        self._next_id += len(tx.outbox)
        store.insert_events(tx, tx.outbox, first)

    async def list_of_story(self, org_id: str, story: Story, after_id: int, limit: int) -> list[Event]:
        """A page of one run's or job's events after ``after_id``, oldest first."""
        return await self._database.read(lambda conn: store.list_of_story(conn, org_id, story, after_id, limit))

    async def list_of_orgs(self, org_ids: Collection[str], after_id: int, limit: int) -> list[Event]:
        """A page of the organizations' events after ``after_id``, oldest first."""
        return await self._database.read(lambda conn: store.list_of_orgs(conn, org_ids, after_id, limit))

    async def _read_page(self, org_ids: Collection[str], after_id: int, limit: int) -> list[Event]:
        return await self.list_of_orgs(org_ids, after_id, limit)

    async def list_all(self, after_id: int, limit: int) -> list[Event]:
        """A page of everybody's events after ``after_id``, oldest first: for alloyd's own consumers."""
        return await self._database.read(lambda conn: store.list_all(conn, after_id, limit))

    async def exists(self, org_ids: Collection[str], event_id: int) -> bool:
        """Whether a reader of ``org_ids`` could have seen event ``event_id``."""
        return await self._database.read(lambda conn: store.exists(conn, org_ids, event_id))

    async def exists_in_story(self, org_id: str, story: Story, event_id: int) -> bool:
        """Whether event ``event_id`` is one of the run's or job's."""
        return await self._database.read(lambda conn: store.exists_in_story(conn, org_id, story, event_id))

    async def story_has_ended(self, org_id: str, story: Story) -> bool:
        """Whether the run's or job's last event is one that ends it."""
        return await self._database.read(lambda conn: store.story_has_ended(conn, org_id, story))
