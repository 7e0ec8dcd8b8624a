"""Builds the surfaces over the capabilities: which routes the network sees, and which the operator's socket."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from functools import partial
from typing import Final

from yarl import URL

from alloyd import __version__
from alloyd.app.capabilities import Capabilities
from alloyd.app.swagger_ui import find_swagger_ui
from alloyd.config import Config
from alloyd.db.maintenance import count_pages
from alloyd.domain.authz.service import authorize
from alloyd.errors import AlloydError
from alloyd.kit.clock import Clock
from alloyd.process.datadir import DataDir
from alloyd.wire.auth import ControlAuthenticator, KeyAuthenticator, OperatorAuthenticator, read_api_key_header
from alloyd.wire.channel import messages as channel
from alloyd.wire.channel.codec import ChannelSurface
from alloyd.wire.control import (
    api_keys,
    assets,
    audit,
    authz,
    connectors,
    credentials,
    end_user_purges,
    end_users,
    events,
    grants,
    hooks,
    installations,
    integrations,
    invitations,
    jobs,
    me,
    members,
    objects,
    operations,
    organizations,
    overview,
    providers,
    releases,
    run_actions,
    run_lookup,
    schedules,
    sessions,
    stream_tickets,
    teammates,
    teams,
    usage,
    webhook_deliveries,
    webhooks,
    workflow_definitions,
    workflow_library,
    workflow_runs,
)
from alloyd.wire.control.codec import ControlSurface
from alloyd.wire.cors import Cors
from alloyd.wire.embedded import app as embedded
from alloyd.wire.embedded.codec import EmbeddedSurface
from alloyd.wire.embedded.credentials import EmbeddedAuthenticator
from alloyd.wire.objects.codec import ObjectsSurface, SignedUrlSurface, UserAuthenticator
from alloyd.wire.objects.download import DownloadRoutes, download_routes, signed_routes
from alloyd.wire.objects.usage import usage_routes
from alloyd.wire.openai import chat as openai_chat
from alloyd.wire.openai import embeddings as openai_embeddings
from alloyd.wire.openai import models as openai_models
from alloyd.wire.openai.codec import OpenAISurface
from alloyd.wire.openai.teammates import TeammateModels
from alloyd.wire.openapi import build_document, render
from alloyd.wire.operator import backups as operator_backups
from alloyd.wire.operator import keys as operator_keys
from alloyd.wire.operator import objects as operator_objects
from alloyd.wire.operator import organizations as operator_organizations
from alloyd.wire.operator import setup as operator_setup
from alloyd.wire.operator import status as operator_status
from alloyd.wire.operator import storage as operator_storage
from alloyd.wire.operator import tokens as operator_tokens
from alloyd.wire.operator import users as operator_users
from alloyd.wire.paging import PageLimits
from alloyd.wire.private import storage as private_storage
from alloyd.wire.private import trigger
from alloyd.wire.private.codec import PrivateSurface
from alloyd.wire.provider_stream import ProviderStreams
from alloyd.wire.route import PUBLIC, FindOwner, Route
from alloyd.wire.server import Server, WireLimits
from alloyd.wire.stream import Streams, StreamSettings
from alloyd.wire.surface import Surface
from alloyd.wire.system.app import system_surface
from alloyd.wire.system.health import Readiness
from alloyd.wire.system.metrics import Gauge, Metrics, Sources
from alloyd.wire.system.reference.app import reference_surface
from alloyd.wire.tickets import StreamTickets
from alloyd.wire.ui import files as ui_files
from alloyd.wire.ui import session as ui_session
from alloyd.wire.ui.codec import ANSWER_HEADERS, FilesSurface, IndexSurface, PageSurface
from alloyd.wire.ui.cookie import PageAuthenticator
from alloyd.wire.ui.origin import OriginRule

_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104  # what is listened on is no address to go to


class Doors(Capabilities):
    """The capabilities with their surfaces."""

    def __init__(self, config: Config, data_dir: DataDir, clock: Clock) -> None:
        super().__init__(config, data_dir, clock)
        self.started_at = clock.now_ms()
        self.urls: list[str] = []
        self.draining = False

    def _build_doors(self) -> None:
        """Make the surfaces over the capabilities; nobody listens yet."""
        config = self.live.current
        self.streams = Streams(
            self.event_log,
            StreamSettings(
                config.events.heartbeat_s, config.events.streams_per_principal_max, config.events.streams_max
            ),
            self.clock,
        )
        self.provider_streams = ProviderStreams(self.streams.settings)
        self.hub.watch_revocations(self.provider_streams.revoke)
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
        server = Server(surfaces, authorize, limits)
        server.note_refusals(self.audit.refusals.add)
        return server

    def _public_surfaces(self) -> list[Surface]:
        control = ControlSurface(
            self._control_routes(),
            ControlAuthenticator(self.keys, self.sessions),
            self.clock,
            tickets=self.tickets,
        )
        private = PrivateSurface(self._private_routes(), KeyAuthenticator(self.keys, "private", read_api_key_header))
        keys, users = self.keys, self.end_users
        return [
            self._system_surface(),
            reference_surface(find_swagger_ui()),
            private,
            control,
            OpenAISurface(self._openai_routes(), ControlAuthenticator(self.keys, self.sessions)),
            ChannelSurface(self._channel_routes(), KeyAuthenticator(self.keys, "channel", read_api_key_header)),
            *self._object_surfaces(),
            *self._page_surfaces(),
            *self._embedded_surfaces(lambda prefix: EmbeddedAuthenticator(keys, users, prefix)),
        ]

    def setup_link(self, token: str) -> str:
        """The page where the bearer of ``token`` makes the first user; in the fragment, which browsers never send."""
        listening = URL(self.urls[0] if self.urls else f"http://localhost:{self.live.current.http.port}")
        own = listening.with_host("localhost") if listening.host in _EVERYWHERE else listening
        shown_at = self.live.current.ui.public_url or str(own.origin())
        return f"{shown_at.rstrip('/')}/#/setup/{token}"

    def _page_surfaces(self) -> list[Surface]:
        """The web page, with doors of its own to the routes of control and private: its cookie opens no others."""
        origin = OriginRule(lambda: self.live.current.ui.public_url)
        page = ui_session.PageSessions(self.sessions, self.setup, self.users, self.orgs, origin)
        by_cookie = partial(PageAuthenticator, self.sessions, origin)
        # What is public there has other callers, and what is about a header's token has another one here.
        control = [
            route
            for route in self._control_routes()
            if route.permission != PUBLIC and "/auth/" not in route.path and route.path != "/me/password"
        ]
        doors: list[Surface] = [
            ControlSurface(
                control, by_cookie("control"), self.clock, name="page", prefix="/ui/v1", challenge=None, described=False
            ),
            PrivateSurface(
                self._private_routes(), by_cookie("private"), name="page-private", prefix="/ui/private", described=False
            ),
        ]
        for door in doors:
            door.answer_headers = ANSWER_HEADERS
        return [
            IndexSurface(ui_files.index_routes()),
            FilesSurface(ui_files.routes()),
            PageSurface(ui_session.routes(page), by_cookie("control")),
            *doors,
        ]

    def _object_surfaces(self) -> list[Surface]:
        users = UserAuthenticator(self.sessions, self.orgs)
        downloads = DownloadRoutes(self.objects, self.clock, self.live.current.objects.misses_per_minute)
        routes = [*download_routes(downloads), *usage_routes(self.objects, self.orgs)]
        return [ObjectsSurface(routes, users), SignedUrlSurface(signed_routes(downloads), users)]

    def _socket_surfaces(self) -> list[Surface]:
        operator = ControlSurface(
            [
                *operator_organizations.routes(self.orgs, self.page_limits),
                *operator_users.routes(self.users, self.page_limits),
                *operator_tokens.routes(self.sessions),
                *operator_storage.routes(self.storage),
                *operator_objects.routes(self.objects, self.object_migration, self.page_limits),
                *operator_backups.routes(self.backups, self.objects.count_in),
                *operator_keys.routes(self.key_rotation),
                *operator_status.routes(self.status),
                *operator_setup.routes(self.setup, self.setup_link),
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
        return [
            self._system_surface(),
            private,
            control,
            operator,
            *self._embedded_surfaces(lambda _prefix: OperatorAuthenticator(self.orgs, "embedded")),
        ]

    def _embedded_surfaces(self, authenticator: embedded.MakeAuthenticator) -> list[EmbeddedSurface]:
        config = self.live.current
        services = embedded.Services(
            self.end_users,
            self.installations,
            self.workflows,
            self.embedded_events,
            self.run_logs,
            self.end_user_purge,
        )
        bounds = embedded.Bounds(
            max(config.http.body_bytes_max, config.engine.payload_bytes_max), config.limits.json_depth_max
        )
        origins = Cors(lambda: self.live.current.embedded.allowed_origins)
        return embedded.surfaces(services, bounds, authenticator, origins)

    def _private_routes(self) -> list[Route]:
        config, engine = self.live.current, self.live.current.engine
        bounds = trigger.FormBounds(
            engine.payload_bytes_max,
            config.storage.max_upload_bytes,
            config.limits.json_depth_max,
            config.http.read_timeout_s,
        )
        return [
            *private_storage.routes(self.storage, config.http.read_timeout_s),
            *trigger.routes(self.runs, self.workflows, self.objects, wait_s_max=engine.wait_s_max, bounds=bounds),
        ]

    def _openai_routes(self) -> list[Route]:
        wait_s = self.live.current.teammates.reply_wait_s
        teammates = TeammateModels(self.teammates, self.provider_streams, self.clock, wait_s)
        return [
            *openai_chat.routes(self.gateway, self.provider_streams, self.clock, teammates),
            *openai_embeddings.routes(self.gateway),
            *openai_models.routes(self.gateway, teammates),
        ]

    def _channel_routes(self) -> list[Route]:
        wait_s = self.live.current.teammates.reply_wait_s
        return channel.routes(self.teammates, self.provider_streams, self.page_limits, wait_s_max=wait_s)

    def _control_routes(self) -> list[Route]:
        config = self.live.current
        return [
            *overview.routes(self.pulse, self._platform),
            *me.routes(self.keys, self.users, self.orgs, self.page_limits),
            *sessions.routes(self.sessions),
            *organizations.routes(self.orgs, self.users),
            *members.routes(self.users.members, self.orgs, self.page_limits),
            *self._team_routes(),
            *audit.routes(self.audit, self.page_limits),
            *api_keys.routes(self.keys, self.clock, self.page_limits),
            *stream_tickets.routes(self.tickets),
            *workflow_definitions.routes(
                self.workflows,
                self.library,
                self.run_lookup,
                self.page_limits,
                config.limits.definitions_bytes_max,
            ),
            *workflow_library.routes(self.library, self.workflows, self.page_limits),
            *releases.routes(self.releases, self.workflows),
            *workflow_runs.routes(
                self.runs,
                self.streams,
                self.page_limits,
                config.engine.payload_bytes_max,
                self.teammates.find_workflow_id,
            ),
            *run_lookup.routes(self.run_lookup, self.runs),
            *run_actions.routes(
                self.runs, self.retries, self.event_waits, self.page_limits, config.engine.payload_bytes_max
            ),
            *providers.routes(self.gateway, self.provider_streams),
            *jobs.routes(self.jobs, self.usage, self.streams, self.page_limits, config.engine.payload_bytes_max),
            *assets.routes(self.assets, self.clock, self.page_limits, config.http.read_timeout_s),
            *usage.routes(self.usage, self.page_limits, self.orgs.find_organization),
            *objects.routes(self.objects, self.storage, self.clock, self.page_limits),
            *operations.routes(),
            *schedules.routes(self.schedules, self.page_limits),
            *hooks.routes(
                self.hooks,
                bytes_max=config.engine.payload_bytes_max,
                read_timeout_s=config.http.read_timeout_s,
                depth_max=config.limits.json_depth_max,
            ),
            *end_users.routes(self.end_users, self.page_limits),
            *end_user_purges.routes(self.end_user_purge, self.page_limits),
            *integrations.routes(self.integrations, self.installations, self.page_limits),
            *installations.routes(self.installations, self.end_users, self.page_limits),
            *webhooks.routes(self.webhooks, self.webhook_deliveries, self.page_limits),
            *webhook_deliveries.routes(self.webhooks, self.webhook_deliveries, self.page_limits),
            *teammates.routes(
                self.teammates, self.provider_streams, self.page_limits, reply_wait_s=config.teammates.reply_wait_s
            ),
            *connectors.routes(self.connectors),
            *credentials.routes(self.credentials, self.oauth, self.clock, self.page_limits),
            *events.routes(self.streams, lambda: self.live.current.events.allowed_origins),
        ]

    def _team_routes(self) -> list[Route]:
        owners: dict[str, FindOwner] = {
            "organization": self.orgs.find_organization,
            "team": self.teams.find_organization,
            "invitation": self.invitations.find_organization,
            "grant": self.grants.find_organization,
            "api_key": self.keys.find_organization,
            "webhook": self.webhooks.find_organization,
            "workflow": self.workflows.find_organization,
            "run": self.runs.find_organization,
            "dead_letter": self.runs.find_organization,
            "job": self.jobs.find_organization,
            "asset": self.assets.find_organization,
            "schedule": self.schedules.find_organization,
            "connector": self.connectors.find_organization,
            "credential": self.credentials.find_organization,
            "end_user": self.end_users.find_organization,
            "integration": self.integrations.find_organization,
            "installation": self.installations.find_organization,
            "teammate": self.teammates.find_organization,
        }
        return [
            *teams.routes(self.teams, self.orgs, self.page_limits),
            *invitations.routes(self.invitations, self.orgs, self.clock, self.page_limits),
            *grants.routes(self.grants, self.page_limits),
            *authz.routes(owners),
        ]

    def _system_surface(self) -> Surface:
        return system_surface(self.readiness, self.metrics, self.openapi)

    def openapi(self) -> bytes:
        """The OpenAPI document of the public door."""
        return render(build_document(self.server.bound_routes(), __version__, self.page_limits))

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
        if not self.engine.alive:
            return "timers are not kept"
        return None if self.schedule_worker.alive else "schedules are not kept"

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

    async def _platform(self) -> overview.Platform:
        pages = await self.database.read(count_pages)
        return overview.Platform(
            started_at=self.started_at,
            runs_queued=self.engine.queue.queued_count,
            runs_running=self.engine.running_count,
            streams=self.streams.count,
            disk_free_bytes=self.disk.free_bytes,
            disk_total_bytes=self.disk.total_bytes,
            database_bytes=pages.total * pages.bytes_each,
            organizations=await self.orgs.count(),
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
                Gauge("provider_calls", "Calls of AI providers under way.", lambda: self.gateway.calls_count),
                Gauge("disk_free_bytes", "Free on the data directory's disk.", lambda: self.disk.free_bytes),
                *self._consumer_gauges(),
            ],
        )

    def _consumer_gauges(self) -> Iterator[Gauge]:
        consumers = (self.awaited_events, self.triggers.consumer, self.webhook_events)
        told = "Events behind the last one that a part of alloyd has handled."
        for one in consumers:
            yield Gauge("event_consumer_lag", told, partial(getattr, one, "lag"), labels={"consumer": one.name})
        told = "Events that a part of alloyd could not handle, and passed over."
        for one in consumers:
            skipped = partial(getattr, one, "skipped_total")
            yield Gauge("event_consumer_skipped", told, skipped, counter=True, labels={"consumer": one.name})
