"""The composition root: builds everything, starts it in order, stops it in reverse; it alone knows everybody.

``open`` brings the data directory up and starts the capabilities; ``listen_socket`` and ``listen_tcp`` open the doors;
``close`` drains and stops. The CLI without a daemon does the first two, so it runs the same program in its own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from alloyd import __version__
from alloyd.config import Config, LiveConfig
from alloyd.db import Database, DatabaseSettings
from alloyd.db.maintenance import count_pages
from alloyd.db.migrate import migrate
from alloyd.domain.authz.service import authorize
from alloyd.domain.backups.before_migration import back_up_before_migration
from alloyd.domain.backups.model import Places
from alloyd.domain.backups.restoring import remove_restore_leftovers
from alloyd.domain.backups.service import BackupService
from alloyd.domain.keys.service import FirstKey, KeyService, KeySettings
from alloyd.domain.keys.worker import KeyWorker
from alloyd.domain.operations.model import Services
from alloyd.domain.orgs.service import OrgService
from alloyd.domain.retention.model import RetentionSettings
from alloyd.domain.retention.service import RetentionService
from alloyd.domain.retention.worker import RetentionWorker
from alloyd.domain.runs.service import RunService, RunSettings
from alloyd.domain.runs.worker import Engine, EngineSettings
from alloyd.domain.storage.blobs import BlobStore
from alloyd.domain.storage.model import StorageSettings
from alloyd.domain.storage.service import StorageService
from alloyd.domain.storage.worker import StorageSweeper
from alloyd.domain.users.service import UserService
from alloyd.domain.workflows.sample import HELLO
from alloyd.domain.workflows.service import WorkflowService, WorkflowSettings
from alloyd.egress import EgressLimits, EgressPolicy, Outbound
from alloyd.errors import AlloydError, Code
from alloyd.events.hub import Hub
from alloyd.events.service import EventLog
from alloyd.kit.clock import Clock
from alloyd.kit.ids import new_id
from alloyd.log import get_logger, set_level
from alloyd.principal import system_principal
from alloyd.process.datadir import DataDir
from alloyd.wire.auth import KeyAuthenticator, OperatorAuthenticator, read_api_key_header, read_bearer
from alloyd.wire.control import (
    api_keys,
    events,
    me,
    operations,
    organizations,
    stream_tickets,
    workflow_definitions,
    workflow_runs,
)
from alloyd.wire.control.codec import ControlSurface
from alloyd.wire.listener import Listener, ListenerSettings, start_tcp, start_unix
from alloyd.wire.openapi import build_document, render
from alloyd.wire.operator import api_keys as operator_api_keys
from alloyd.wire.operator import backups as operator_backups
from alloyd.wire.operator import organizations as operator_organizations
from alloyd.wire.operator import status as operator_status
from alloyd.wire.operator import storage as operator_storage
from alloyd.wire.operator import users as operator_users
from alloyd.wire.paging import PageLimits
from alloyd.wire.private import storage as private_storage
from alloyd.wire.private import trigger
from alloyd.wire.private.codec import PrivateSurface
from alloyd.wire.server import Server, WireLimits
from alloyd.wire.stream import Streams, StreamSettings
from alloyd.wire.surface import Surface
from alloyd.wire.system.app import system_surface
from alloyd.wire.system.health import Readiness
from alloyd.wire.system.metrics import Gauge, Metrics, Sources
from alloyd.wire.tickets import StreamTickets

log = get_logger("alloyd.app")

LOOP_PAUSE_S = 1.0  # before a loop that failed is begun again


@dataclass(slots=True)
class DiskGuard:
    """Refuses new work while the disk is nearly full, so that it never is. Looks at most once a second."""

    path: str
    live: LiveConfig
    _looked_at: float = 0.0
    _free_bytes: int = 1 << 62

    @property
    def free_bytes(self) -> int:
        """Bytes free on the data directory's disk, as of a second ago at most."""
        now = time.monotonic()
        if now - self._looked_at > 1.0:
            self._looked_at = now
            self._free_bytes = shutil.disk_usage(self.path).free
        return self._free_bytes

    def check(self) -> None:
        """Raises ``unavailable`` below ``data.disk_free_bytes_min``."""
        if self.free_bytes < self.live.current.data.disk_free_bytes_min:
            raise AlloydError(Code.UNAVAILABLE, "nothing was stored: the disk is nearly full", retry_after_s=30)


class App:
    """The whole program in one object. Make it with :meth:`open`."""

    def __init__(self, config: Config, data_dir: DataDir, clock: Clock) -> None:
        self.live = LiveConfig(config)
        self.data_dir = data_dir
        self.clock = clock
        self.instance_id = new_id()
        self.started_at = clock.now_ms()
        self.first_key: FirstKey | None = None
        self.urls: list[str] = []
        self.draining = False
        self._tasks: list[asyncio.Task[None]] = []
        self._listeners: list[Listener] = []

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

    # -- building --------------------------------------------------------------------------------------------

    async def _build(self) -> None:
        config, clock = self.live.current, self.clock
        self.database = await Database.open(
            self.data_dir.database,
            clock,
            DatabaseSettings(config.data.readers, config.data.group_commit_max, config.data.checkpoint_pages),
        )
        self.disk = DiskGuard(str(self.data_dir.root), self.live)
        self.hub = Hub(config.events.reader_queue_max)
        self.event_log = EventLog(self.database, self.hub)
        self.orgs = OrgService(self.database)
        self.users = UserService(self.database, self.hub, config.auth.password_bytes_min)
        self.keys = KeyService(self.database, self.hub, clock, self.orgs, KeySettings(config.auth.key_cache_max))
        self.key_worker = KeyWorker(self.keys, clock, config.auth.key_last_used_flush_s)
        self._build_storage(config)
        self.outbound = Outbound(EgressPolicy.parse(list(config.egress.allow)), _egress_limits(config))
        self._build_workflows(config)
        self.backups = BackupService(
            self.database,
            Places.below(self.data_dir.root),
            clock,
            self.sweeper.hold,
            lambda: self.live.current.data.disk_free_bytes_min,
            __version__,
        )
        self.retention = RetentionService(self.database, clock, self._retention_settings)
        self.retention_worker = RetentionWorker(self.retention, self._retention_settings)

    def _build_storage(self, config: Config) -> None:
        self.blobs = BlobStore(
            self.data_dir.root, self.database.on_fatal, lambda: self.live.current.data.disk_free_bytes_min
        )
        self.sweeper = StorageSweeper(self.database, self.blobs, config.storage.sweep_interval_s)
        self.storage = StorageService(
            self.database,
            self.blobs,
            _storage_settings(config),
            self.sweeper.wake,
        )

    def _build_workflows(self, config: Config) -> None:
        engine = config.engine
        self.workflows = WorkflowService(
            self.database,
            WorkflowSettings(engine.nodes_max, config.limits.definitions_bytes_max, engine.step_timeout_ms),
        )
        self.engine = Engine(
            self.database,
            self.workflows,
            Services(
                self.storage,
                self.outbound,
                self.clock,
                engine.step_output_bytes_max,
                config.storage.max_upload_bytes,
            ),
            self.clock,
            EngineSettings(
                running_max=engine.running_max,
                running_per_org_max=engine.running_per_org_max,
                steps_running_max=engine.steps_running_max,
                step_output_bytes_max=engine.step_output_bytes_max,
                context_bytes_max=engine.context_bytes_max,
            ),
            self.instance_id,
        )
        self.runs = RunService(
            self.database,
            self.workflows,
            self.engine,
            self.clock,
            RunSettings(engine.queued_per_org_max, engine.starts_per_s_per_org, engine.run_deadline_ms),
            self.disk.check,
        )

    # -- starting and stopping -------------------------------------------------------------------------------

    async def _start(self, runs_workflows: bool) -> None:
        await self.event_log.start()
        await self.runs.open()
        self.first_key = await self.keys.bootstrap()
        if self.first_key is not None:
            await self.workflows.save(system_principal(self.first_key.org.id), HELLO)
        self._build_surfaces()
        self.key_worker.start()
        self._keep("storage sweeper", self.sweeper.run)
        if await self.backups.clean_up():
            log.warning("removed the part of a backup that was cut off")
        if runs_workflows:
            await self.begin_work()

    async def begin_work(self) -> None:
        """Drive queued runs, keep timers and delete what is old. Once, after :meth:`open` without workflows."""
        self._keep("retention", self.retention_worker.run)
        await self.engine.start()

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
        await asyncio.gather(self.engine.stop(grace_s), *(listener.stop(grace_s) for listener in self._listeners))
        for task in reversed(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.key_worker.stop()
        await self.storage.close()
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
        self.engine.set_bounds(config.engine.running_max, config.engine.running_per_org_max)
        self.runs.set_bounds(
            RunSettings(
                config.engine.queued_per_org_max,
                config.engine.starts_per_s_per_org,
                config.engine.run_deadline_ms,
            )
        )
        self.storage.settings = _storage_settings(config)
        self.retention_worker.wake()
        return applied, later

    # -- doors -----------------------------------------------------------------------------------------------

    def _build_surfaces(self) -> None:
        config = self.live.current
        self.streams = Streams(
            self.event_log,
            StreamSettings(
                config.events.heartbeat_s, config.events.streams_per_principal_max, config.events.streams_max
            ),
        )
        self.tickets = StreamTickets(self.clock)
        self.hub.watch_revocations(self.tickets.revoke)
        self.page_limits = PageLimits(config.limits.list_limit_default, config.limits.list_limit_max)
        self.readiness = Readiness(
            [("database", self.database.probe), ("disk", self._disk_fault), ("scheduler", self._scheduler_fault)]
        )
        self.metrics = Metrics(self._metric_sources(), self._metrics_token)
        self.server = self._server(self._public_surfaces())
        self.socket_server = self._server(self._socket_surfaces())

    def _server(self, surfaces: list[Surface]) -> Server:
        config = self.live.current
        limits = WireLimits(config.http.body_bytes_max, config.http.read_timeout_s, config.limits.json_depth_max)
        return Server(surfaces, authorize, limits)

    def _public_surfaces(self) -> list[Surface]:
        control = ControlSurface(
            self._control_routes(),
            KeyAuthenticator(self.keys, "control", read_bearer),
            self.clock,
            tickets=self.tickets,
        )
        private = PrivateSurface(self._private_routes(), KeyAuthenticator(self.keys, "private", read_api_key_header))
        return [self._system_surface(), private, control]

    def _socket_surfaces(self) -> list[Surface]:
        operator = ControlSurface(
            [
                *operator_organizations.routes(self.orgs, self.page_limits),
                *operator_users.routes(self.users, self.page_limits),
                *operator_api_keys.routes(self.keys, self.clock),
                *operator_storage.routes(self.storage),
                *operator_backups.routes(self.backups),
                *operator_status.routes(self.status),
            ],
            OperatorAuthenticator(self.orgs, "operator"),
            self.clock,
            name="operator",
            prefix="/operator",
        )
        control = ControlSurface(
            self._control_routes(), OperatorAuthenticator(self.orgs, "control"), self.clock, tickets=self.tickets
        )
        private = PrivateSurface(self._private_routes(), OperatorAuthenticator(self.orgs, "private"))
        return [self._system_surface(), private, control, operator]

    def _private_routes(self) -> list[Any]:
        engine = self.live.current.engine
        return [
            *private_storage.routes(self.storage, self.live.current.http.read_timeout_s),
            *trigger.routes(self.runs, wait_s_max=engine.wait_s_max, payload_bytes_max=engine.payload_bytes_max),
        ]

    def _control_routes(self) -> list[Any]:
        config = self.live.current
        return [
            *me.routes(self.keys),
            *organizations.routes(self.orgs),
            *api_keys.routes(self.keys, self.clock, self.page_limits),
            *stream_tickets.routes(self.tickets),
            *workflow_definitions.routes(self.workflows, self.page_limits, config.limits.definitions_bytes_max),
            *workflow_runs.routes(self.runs, self.streams, self.page_limits, config.engine.payload_bytes_max),
            *operations.routes(),
            *events.routes(self.streams, lambda: self.live.current.events.allowed_origins),
        ]

    def _system_surface(self) -> Surface:
        return system_surface(self.readiness, self.metrics, self.openapi)

    def openapi(self) -> bytes:
        """The OpenAPI document of the public door."""
        return render(build_document(self.server.bound_routes(), __version__))

    async def listen_tcp(self) -> Listener:
        """Open the public door; the listener tells the port that was taken. Raises ``conflict`` when it is taken."""
        http = self.live.current.http
        self.server.allow_hosts(http.allowed_hosts)
        listener = await start_tcp(self.server.build(), http.host, http.port, self._listener_settings())
        self._listeners.append(listener)
        self.urls.append(
            f"http://[{http.host}]:{listener.port}" if ":" in http.host else f"http://{http.host}:{listener.port}"
        )
        return listener

    async def listen_socket(self) -> Listener:
        """Open the operator's door, ``alloyd.sock`` in the data directory, mode 0600."""
        app = self.socket_server.build()
        listener = await start_unix(app, self.data_dir.socket, self._listener_settings(), replace_stale=True)
        self._listeners.append(listener)
        return listener

    def _listener_settings(self) -> ListenerSettings:
        http = self.live.current.http
        return ListenerSettings(http.headers_bytes_max, http.keepalive_timeout_s)

    # -- health ----------------------------------------------------------------------------------------------

    async def _disk_fault(self) -> str | None:
        try:
            self.disk.check()
        except AlloydError as error:
            return error.message
        except OSError:
            return "the disk can't be read"
        return None

    async def _scheduler_fault(self) -> str | None:
        return None if self.engine.alive else "timers are not kept"

    async def status(self) -> operator_status.Status:
        """What runs and how full it is, now."""
        pages = await self.database.read(count_pages)
        return operator_status.Status(
            pid=os.getpid(),
            version=__version__,
            sqlite_version=sqlite3.sqlite_version,
            instance_id=self.instance_id,
            started_at=self.started_at,
            now=self.clock.now_ms(),
            urls=list(self.urls),
            data_dir=str(self.data_dir.root),
            draining=self.draining,
            runs_queued=self.engine.queue.queued_count,
            runs_running=self.engine.running_count,
            streams=self.streams.count,
            database_bytes=pages.total * pages.bytes_each,
            wal_bytes=self.database.wal_bytes,
            free_pages=pages.free,
            disk_free_bytes=self.disk.free_bytes,
            organizations=await self.orgs.count(),
            last_backup_at=await self.backups.find_last(),
        )

    def _retention_settings(self) -> RetentionSettings:
        kept = self.live.current.retention
        return RetentionSettings(
            kept.runs_days, kept.runs_per_org_max, kept.events_days, kept.idempotency_hours, kept.sweep_interval_s
        )

    def _metrics_token(self) -> str | None:
        token = self.live.current.metrics.token
        return token.reveal() if token else None

    def _metric_sources(self) -> Sources:
        return Sources(
            __version__,
            self.database,
            self.hub,
            lambda: [self.server.stats, self.socket_server.stats],
            [
                Gauge("runs_running", "Runs in memory.", lambda: self.engine.running_count),
                Gauge("runs_queued", "Runs that wait for the engine.", lambda: self.engine.queue.queued_count),
                Gauge("runs_ended", "Runs that have ended.", lambda: self.engine.ended_total, counter=True),
                Gauge("streams_open", "Open event streams.", lambda: self.streams.count),
                Gauge("disk_free_bytes", "Free on the data directory's disk.", lambda: self.disk.free_bytes),
            ],
        )


def _storage_settings(config: Config) -> StorageSettings:
    return StorageSettings(config.storage.max_upload_bytes, config.storage.uploads_max)


def _egress_limits(config: Config) -> EgressLimits:
    egress = config.egress
    return EgressLimits(
        connect_timeout_s=egress.connect_timeout_s,
        timeout_s=egress.timeout_s,
        response_bytes_max=egress.response_bytes_max,
        redirects_max=egress.redirects_max,
        connections_max=egress.connections_max,
    )
