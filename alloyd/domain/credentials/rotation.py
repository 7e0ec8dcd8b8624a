"""Changes the key that seals: everything sealed is sealed anew, a few rows at a time, while all goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from alloyd.db import Database, Tx
from alloyd.db.meta import SEALING_KEYS, set_meta
from alloyd.domain.credentials import store
from alloyd.domain.credentials.model import seal_about
from alloyd.domain.credentials.oauth import client_about
from alloyd.errors import conflict
from alloyd.kit.crypto import Sealer

ROWS_PER_WRITE: Final = 50

# (tx, after, limit): seals some rows anew and gives what to go on after, None at the end.
ResealSome = Callable[[Tx, str, int], str | None]


class SealingKeyFiles(Protocol):
    """The files that hold the keys (process/keyring has them)."""

    def make(self) -> tuple[str, bytes]:
        """A new key, durable: ``(id, key)``."""

    def fingerprints(self) -> dict[str, str]:
        """Fingerprints by ids of all keys in use."""

    def keep_only(self, key_id: str) -> None:
        """The others are not in use any more."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """The key that seals now, and how many credentials and clients were sealed anew."""

    key_id: str
    credentials: int


class KeyRotation:
    """Seals everything under a new key. ``others`` are the capabilities that have sealed texts of their own."""

    def __init__(
        self, database: Database, sealer: Sealer, files: SealingKeyFiles, others: Sequence[ResealSome]
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._files = files
        self._others = others
        self._lock = asyncio.Lock()

    async def rotate(self) -> Rotated:
        """Make a key, seal all with it, and forget the ones before. A crash on the way leaves every key that is needed.

        Accounts that are just being connected have to begin again. Raises ``conflict`` while another one is under way,
        ``unavailable`` when the key can't be written.
        """
        if self._lock.locked():
            raise conflict("the key is being changed already")
        async with self._lock:
            key_id, key = await asyncio.to_thread(self._files.make)
            await self._remember()
            self._sealer.use_key(key_id, key)
            # Behind every write whose text was sealed with the key before: the writer takes them in order.
            await self._database.write(store.drop_states)
            count = 0
            while some := await self._database.write(self._reseal_some):
                count += some
            for reseal in self._others:
                after: str | None = ""
                while after is not None:
                    after = await self._database.write(_step(reseal, after))
            self._files.keep_only(key_id)
            await self._remember(key_id)
            return Rotated(key_id, count)

    async def _remember(self, changed_to: str | None = None) -> None:
        known = msgspec.json.encode(self._files.fingerprints()).decode()

        def write(tx: Tx) -> None:
            set_meta(tx, SEALING_KEYS, known)
            if changed_to is not None:
                tx.audit(f"sealing_key:{changed_to}", action="sealing_key.rotate")

        await self._database.write(write)

    def _reseal_some(self, tx: Tx) -> int:
        sealer = self._sealer
        credentials = store.list_other_keys(tx.conn, sealer.key_id, ROWS_PER_WRITE)
        for credential_id, org_id, data in credentials:
            about = seal_about(org_id, credential_id)
            store.set_data(tx, org_id, credential_id, sealer.seal(sealer.unseal(data, about), about), sealer.key_id)
        clients = store.list_clients_of_other_keys(tx.conn, sealer.key_id, ROWS_PER_WRITE)
        for org_id, connector, data in clients:
            about = client_about(org_id, connector)
            sealed = sealer.seal(sealer.unseal(data, about), about)
            store.set_client_data(tx, org_id, connector, sealed, sealer.key_id)
        return len(credentials) + len(clients)


def _step(reseal: ResealSome, after: str) -> Callable[[Tx], str | None]:
    return lambda tx: reseal(tx, after, ROWS_PER_WRITE)
