"""The whole program's life: brought up, started, opened to callers, drained, stopped.

``open`` brings the data directory up and starts the capabilities; ``listen_socket`` and ``listen_tcp`` open the doors;
``close`` drains and stops. The CLI without a daemon does the first two, so it runs the same program in its own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import msgspec

from alloyd.app import settings
from alloyd.app.doors import Doors
from alloyd.config import Config
from alloyd.db.meta import KEY_FINGERPRINT, SEALING_KEYS, read_meta, write_meta
from alloyd.db.migrate import migrate
from alloyd.domain.backups.before_migration import back_up_before_migration
from alloyd.domain.backups.restoring import remove_restore_leftovers
from alloyd.domain.keys.service import FirstKey
from alloyd.domain.workflows.sample import HELLO
from alloyd.egress import EgressPolicy
from alloyd.errors import AlloydError
from alloyd.kit.clock import Clock
from alloyd.kit.stamp import Stamp, stamped
from alloyd.log import get_logger, set_level
from alloyd.principal import system_principal
from alloyd.process.datadir import DataDir
from alloyd.process.keyring import Keyring, SealingKeys
from alloyd.wire.grpc.server import GrpcServer
from alloyd.wire.listener import Listener, start_tcp, start_unix

log = get_logger("alloyd.app")

FIRST_START = "installation.create"  # what the audit trail calls it
CATCH_UP_S = 30.0  # for events that came while no daemon looked at them
ENTROPY = "/dev/urandom"
LOOP_PAUSE_S = 1.0  # before a loop that failed is begun again


class App(Doors):
    """The whole program in one object. Make it with :meth:`open`."""

    def __init__(self, config: Config, data_dir: DataDir, clock: Clock) -> None:
        super().__init__(config, data_dir, clock)
        self.first_key: FirstKey | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._listeners: list[Listener] = []
        self._grpc: GrpcServer | None = None

    @classmethod
    async def open(
        cls, config: Config, data_dir: DataDir, clock: Clock | None = None, *, runs_workflows: bool = True
    ) -> App:
        """Bring up the locked ``data_dir`` and start the capabilities; nobody can reach it yet.

        Without ``runs_workflows`` runs are only queued: a short command must not begin what it would interrupt, and the
        daemon does not before its port is its own; :meth:`begin_work` does the rest. Raises :class:`AlloydError` when
        the directory is damaged or belongs to a newer program.
        """
        app = cls(config, data_dir, clock or Clock())
        await asyncio.to_thread(app._bring_up)
        await app._build()
        await app._start(runs_workflows)
        return app

    def _bring_up(self) -> None:
        """Clear away what a crash left, and bring the schema up; a copy of the database is made before."""
        self.data_dir.clean_tmp()
        removed = remove_restore_leftovers(self.data_dir.root)
        if removed:
            log.warning("removed what an interrupted restore left", directories=removed)
        copy = back_up_before_migration(self.data_dir.database, self.data_dir.backups, self.clock.now_ms())
        if copy is not None:
            log.info("copied the database before its migration", copy=copy.name)
        migrate(self.data_dir.database)
        known = read_meta(self.data_dir.database, KEY_FINGERPRINT)
        self.keyring = Keyring.open(self.data_dir.keys, known)
        if known is None:
            write_meta(self.data_dir.database, KEY_FINGERPRINT, self.keyring.fingerprint)
        sealing = msgspec.json.decode(read_meta(self.data_dir.database, SEALING_KEYS) or "{}", type=dict[str, str])
        self.sealing_keys = SealingKeys.open(self.data_dir.keys, self.keyring.secret("sealed secrets"), sealing)

    # -- starting and stopping -------------------------------------------------------------------------------

    async def _start(self, runs_workflows: bool) -> None:
        await self.event_log.start()
        await self.audit.start()
        await self.usage.open()
        await self.runs.open()
        await self.triggers.open()
        await self.webhooks.open()
        if left := await self.objects.delete_left():
            log.warning("removed files of runs that never started", objects=left)
        with stamped(Stamp(FIRST_START)):
            self.first_key = await self.keys.bootstrap()
            if self.first_key is not None:
                await self.workflows.save(system_principal(self.first_key.org.id), HELLO)
        self._build_doors()
        self.key_worker.start()
        self._keep("storage sweeper", self.sweeper.run)
        self._keep("object sweeper", self.object_sweeper.run)
        self._keep("audit", self.audit_worker.run)
        if await self.backups.clean_up():
            log.warning("removed the part of a backup that was cut off")
        if runs_workflows:
            await self.begin_work()

    async def begin_work(self) -> None:
        """Drive queued runs, keep timers and delete what is old. Once, after :meth:`open` without workflows."""
        self._keep("retention", self.retention_worker.run)
        await self.event_waits.open()
        await self.awaited_events.start()  # before the first wait: what happens after it must not be passed over
        self._keep("awaited events", self.awaited_events.run)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_S):
                await self.awaited_events.settle()  # before timers: what came in time must not find its wait given up
        self._keep("triggers", self.triggers.run)
        self._keep("schedules", self.schedule_worker.run)
        self._keep("webhook events", self.webhook_events.run)
        self._keep("webhook sender", self.webhook_sender.run)
        await self.engine.start()
        self._keep("purges", self.end_user_purge.run)
        self._keep("uninstalled runs", self.uninstalled_runs.run)
        self._keep("archived organizations' runs", self.archived_runs.run)
        self._keep("deleted teammates", self.teammates.run)

    def _keep(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a capability's endless loop; one that fails is logged and begun again."""

        async def keep() -> None:
            while True:
                try:
                    await work()
                except Exception as error:
                    log.error("a loop failed; it is begun again", loop=name, exc_info=error)
                await asyncio.sleep(LOOP_PAUSE_S)

        self._tasks.append(asyncio.create_task(keep(), name=name))

    async def close(self, grace_s: float | None = None) -> None:
        """Drain: nothing new is taken, what runs gets ``grace_s`` seconds, then everything stops in reverse order."""
        grace_s = self.live.current.engine.shutdown_grace_s if grace_s is None else grace_s
        self.draining = True
        self.streams.stop()
        self.readiness.draining = True
        doors = [listener.stop(grace_s) for listener in self._listeners]
        if self._grpc is not None:
            doors.append(self._grpc.stop(grace_s))
        await asyncio.gather(self.engine.stop(grace_s), *doors)
        for task in reversed(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.key_worker.stop()
        await self.audit_worker.stop()
        if self.object_sweeper.bucket is not None:
            await self.object_sweeper.bucket.close()
        await self.storage.close()
        await self.credential_keeper.close()
        await self.gateway.close()
        await self.provider_outbound.close()
        await self.outbound.close()
        self.users.close()
        await self.database.close()
        self.blobs.close()

    def apply_config(self, new: Config) -> tuple[list[str], list[str]]:
        """Take over what can change live: ``(changed, needs a restart)``, names of keys. For SIGHUP."""
        applied, later = self.live.reload(new)
        config = self.live.current
        set_level(config.log.level)
        self.outbound.replace_policy(EgressPolicy.parse(list(config.egress.allow)))
        self.server.allow_hosts(config.http.allowed_hosts)
        self.server.trust_proxies(config.http.trusted_proxies)
        self.engine.set_bounds(config.engine.running_max, config.engine.running_per_org_max)
        self.runs.set_bounds(settings.run_settings(config))
        self.storage.settings = settings.storage_settings(config)
        self.usage.set_default(settings.usage_settings(config))
        self.retention_worker.wake()
        return applied, later

    # -- listening -------------------------------------------------------------------------------------------

    async def listen_tcp(self) -> Listener:
        """Open the public door; the listener tells the port that was taken. Raises ``conflict`` when it is taken."""
        http = self.live.current.http
        self.server.allow_hosts(http.allowed_hosts)
        self.server.trust_proxies(http.trusted_proxies)
        listener = await start_tcp(
            self.server.build(), http.host, http.port, settings.listener_settings(self.live.current)
        )
        self._listeners.append(listener)
        self.urls.append(url_of(http.host, listener.port, tls=http.tls_certificate_file is not None))
        return listener

    async def listen_grpc(self) -> int | None:
        """Open the gRPC door; the port that was taken, None when it is not enabled.

        A port that the configuration names is that one, or ``conflict`` is raised. The usual port, which nobody named,
        gives way to a free one: when HTTP takes a free one, and when another daemon has it.
        """
        config = self.live.current
        if not config.grpc.enabled:
            return None
        if not os.access(ENTROPY, os.R_OK):  # the library would end the whole process
            log.warning("gRPC is not served: it needs what is not here", needed=ENTROPY)
            return None
        wanted = settings.grpc_settings(config)
        named = "grpc.port" in config.sources
        if not named and config.http.port == 0:
            wanted = replace(wanted, port=0)
        server = GrpcServer(self.server, wanted)
        try:
            await server.start()
        except AlloydError:
            if named:
                raise
            log.warning("the usual port of gRPC is taken; a free one is used", port=wanted.port)
            server = GrpcServer(self.server, replace(wanted, port=0))
            await server.start()
        self._grpc = server
        return server.port

    async def listen_socket(self) -> Listener:
        """Open the operator's door, ``alloyd.sock`` in the data directory, mode 0600."""
        app = self.socket_server.build()
        listener = await start_unix(
            app, self.data_dir.socket, settings.listener_settings(self.live.current), replace_stale=True
        )
        self._listeners.append(listener)
        return listener


def url_of(host: str, port: int, *, tls: bool) -> str:
    """Where a door is, as a URL."""
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
