"""Builds the capabilities and what is beneath them: each is made here, once, and given what it uses."""

from __future__ import annotations

from alloyd import __version__
from alloyd.app import settings
from alloyd.app.disk import DiskGuard
from alloyd.app.providers import build_gateway
from alloyd.config import Config, LiveConfig
from alloyd.db import Database, DatabaseSettings, Tx
from alloyd.domain.assets.service import AssetService
from alloyd.domain.audit.service import AuditService
from alloyd.domain.audit.worker import AuditWorker
from alloyd.domain.authz.model import Subject, SubjectKind
from alloyd.domain.authz.service import GrantService
from alloyd.domain.backups.model import Places
from alloyd.domain.backups.service import BackupService
from alloyd.domain.connectors.service import ConnectorService
from alloyd.domain.credentials.keeper import CredentialKeeper
from alloyd.domain.credentials.oauth import OauthService
from alloyd.domain.credentials.rotation import KeyRotation
from alloyd.domain.credentials.service import CredentialService
from alloyd.domain.embedded.purge import EndUserPurge
from alloyd.domain.embedded.service import EmbeddedEvents, RunLogs
from alloyd.domain.embedded.uninstalling import UninstalledRuns
from alloyd.domain.endusers.service import EndUserService
from alloyd.domain.hooks.service import HookService
from alloyd.domain.integrations.installations import InstallationService
from alloyd.domain.integrations.service import IntegrationService
from alloyd.domain.invitations.service import InvitationService
from alloyd.domain.jobs.attaching import JobAssets
from alloyd.domain.jobs.service import JobService, tell_ended, tell_started
from alloyd.domain.keys.service import KeyService, KeySettings
from alloyd.domain.keys.worker import KeyWorker
from alloyd.domain.objects.backend import ObjectBackend
from alloyd.domain.objects.local import LocalBackend
from alloyd.domain.objects.migration import MigrationService
from alloyd.domain.objects.s3 import S3Backend
from alloyd.domain.objects.service import ObjectService
from alloyd.domain.objects.worker import ObjectSweeper
from alloyd.domain.operations.model import Services
from alloyd.domain.orgs.service import OrgService
from alloyd.domain.retention.service import RetentionService
from alloyd.domain.retention.worker import RetentionWorker
from alloyd.domain.runs.archived import ArchivedRuns
from alloyd.domain.runs.event_waits import CONSUMER, EventWaits
from alloyd.domain.runs.family import Families
from alloyd.domain.runs.looking import RunLookup
from alloyd.domain.runs.pulse import Pulse
from alloyd.domain.runs.retries import RetryService
from alloyd.domain.runs.service import RunService
from alloyd.domain.runs.worker import Engine
from alloyd.domain.schedules.model import ScheduleSettings
from alloyd.domain.schedules.service import ScheduleService
from alloyd.domain.schedules.worker import ScheduleWorker
from alloyd.domain.sessions.service import SessionService
from alloyd.domain.setup.service import SetupService
from alloyd.domain.storage.blobs import BlobStore
from alloyd.domain.storage.service import StorageService
from alloyd.domain.storage.worker import StorageSweeper
from alloyd.domain.teammates.planning import TeammatePlanner
from alloyd.domain.teammates.service import TeammateService, require_teammate
from alloyd.domain.teammates.streams import ReplyStreams
from alloyd.domain.teams.service import TeamService
from alloyd.domain.triggers.service import TriggerService
from alloyd.domain.usage.service import UsageService
from alloyd.domain.users.service import UserService
from alloyd.domain.webhooks.deliveries import DeliveryService
from alloyd.domain.webhooks.model import WebhookSettings
from alloyd.domain.webhooks.service import WebhookService
from alloyd.domain.webhooks.worker import WebhookSender
from alloyd.domain.workflows.library import WorkflowLibrary
from alloyd.domain.workflows.releases import ReleaseService
from alloyd.domain.workflows.resealing import resealer
from alloyd.domain.workflows.secrets import DefinitionSecrets
from alloyd.domain.workflows.service import WorkflowService, WorkflowSettings
from alloyd.egress import EgressPolicy, Outbound
from alloyd.egress.smtp import Mailer
from alloyd.events.consumer import EventConsumer
from alloyd.events.hub import Hub
from alloyd.events.service import EventLog
from alloyd.kit.clock import Clock
from alloyd.kit.crypto import Sealer
from alloyd.kit.ids import new_id
from alloyd.process.datadir import DataDir
from alloyd.process.keyring import Keyring, SealingKeys


class Capabilities:
    """All services of one data directory. The configuration's live part is read through ``live``."""

    def __init__(self, config: Config, data_dir: DataDir, clock: Clock) -> None:
        self.live = LiveConfig(config)
        self.data_dir = data_dir
        self.clock = clock
        self.instance_id = new_id()
        self.sealing_keys: SealingKeys
        self.keyring: Keyring  # read while the data directory is brought up, before anything is built

    async def _build(self) -> None:
        """Make every capability, each after those it uses. Nothing runs yet, and nothing is written."""
        config, clock = self.live.current, self.clock
        self.sealer = Sealer(self.sealing_keys.first, self.sealing_keys.later)
        self.database = await Database.open(
            self.data_dir.database,
            clock,
            DatabaseSettings(config.data.readers, config.data.group_commit_max, config.data.checkpoint_pages),
        )
        self.disk = DiskGuard(str(self.data_dir.root), self.live)
        self.hub = Hub(config.events.reader_queue_max)
        self.event_log = EventLog(self.database, self.hub)
        self.audit = AuditService(self.database, clock, lambda: settings.audit_settings(self.live.current))
        self.audit_worker = AuditWorker(self.audit)
        self.orgs = OrgService(self.database)
        self.users = UserService(self.database, self.hub, self.orgs, config.auth.password_bytes_min)
        self.sessions = SessionService(
            self.database, self.users, clock, self.keyring.secret("jwt"), settings.session_settings(config)
        )
        self.setup = SetupService(self.users, self.orgs, clock)
        self.keys = KeyService(self.database, self.hub, clock, self.orgs, KeySettings(config.auth.key_cache_max))
        self._build_teams(config)
        self.key_worker = KeyWorker(self.keys, clock, config.auth.key_last_used_flush_s)
        self.usage = UsageService(self.database, clock, settings.usage_settings(config))
        self._build_storage(config)
        self.outbound = Outbound(EgressPolicy.parse(list(config.egress.allow)), settings.egress_limits(config))
        self._build_webhooks()
        self.gateway, self.provider_outbound = build_gateway(config, self.usage, clock)
        self._build_connectors()
        self._build_workflows(config)
        self.backups = BackupService(
            self.database,
            Places.below(self.data_dir.root),
            clock,
            self.sweeper.hold,
            lambda: self.live.current.data.disk_free_bytes_min,
            __version__,
        )
        self.retention = RetentionService(
            self.database, self.audit, clock, lambda: settings.retention_settings(self.live.current)
        )
        self.retention.on_delete_run(self.objects.delete_of_runs)
        self.retention_worker = RetentionWorker(self.retention, lambda: settings.retention_settings(self.live.current))

    def _build_teams(self, config: Config) -> None:
        members = self.users.members

        def forget_user(tx: Tx, _org_id: str, subject: Subject) -> None:
            if subject.kind is SubjectKind.USER:
                members.note_change(tx, subject.id, "the grants changed")

        self.teams = TeamService(self.database)
        self.teams.on_member_change(lambda tx, user_id: members.note_change(tx, user_id, "the teams changed"))
        self.teams.on_delete(self.keys.keep_team)
        members.on_leave(self.teams.forget_member)
        self.grants = GrantService(self.database, self.hub)
        self.grants.on_change(self.keys.forget_grants)
        self.grants.on_change(forget_user)
        members.on_leave(self.grants.forget_member)
        self.invitations = InvitationService(self.database, members, self.teams, settings.invitation_settings(config))

    def _build_storage(self, config: Config) -> None:
        self.blobs = BlobStore(
            self.data_dir.root, self.database.on_fatal, lambda: self.live.current.data.disk_free_bytes_min
        )
        self.sweeper = StorageSweeper(self.database, self.blobs, config.storage.sweep_interval_s)
        self.storage = StorageService(
            self.database,
            self.blobs,
            settings.storage_settings(config),
            self.sweeper.wake,
        )
        self.assets = AssetService(self.database, self.storage)
        self._build_objects(config)

    def _build_objects(self, config: Config) -> None:
        wanted = settings.object_settings(config)
        backends: dict[str, ObjectBackend] = {"local": LocalBackend(self.storage)}
        self.object_sweeper = ObjectSweeper(config.storage.sweep_interval_s)
        if wanted.s3 is not None:
            self.object_sweeper.bucket = S3Backend(self.database, wanted.s3, self.object_sweeper.wake)
            backends["s3"] = self.object_sweeper.bucket
        self.objects = ObjectService(self.database, backends, self.clock, wanted, self.keyring.secret("object urls"))
        self.object_migration = MigrationService(self.database, self.objects)

    def _build_webhooks(self) -> None:
        self.mailer = Mailer(lambda: settings.smtp_settings(self.live.current), self.live.current.email.connections_max)

        def bounds() -> WebhookSettings:
            return settings.webhook_settings(self.live.current)

        self.webhooks = WebhookService(self.database, self.sealer, self.clock, bounds)
        self.orgs.on_archive(self.webhooks.end_of_organization)
        self.webhook_deliveries = DeliveryService(self.database)
        self.webhook_sender = WebhookSender(self.database, self.webhooks, self.outbound, self.clock, bounds)
        self.webhooks.wake = self.webhook_deliveries.wake = self.webhook_sender.wake
        self.webhook_events = EventConsumer(
            self.database, self.hub, self.event_log, "webhooks", self.webhooks.wants, self.webhooks.make_deliveries
        )

    def _build_connectors(self) -> None:
        self.connectors = ConnectorService(self.database)
        self.credentials = CredentialService(self.database, self.connectors, self.sealer, self.clock)
        self.credential_keeper = CredentialKeeper(self.credentials, self.outbound)
        self.oauth = OauthService(self.credentials, self.outbound)

    def _build_definitions(self, config: Config) -> None:
        engine = config.engine
        self.reply_streams = ReplyStreams(config.teammates.stream_chars_max)
        self.releases = ReleaseService(self.database)
        definition_secrets = DefinitionSecrets(self.sealer, self.keyring.secret("definition fingerprints"))
        self.workflows = WorkflowService(
            self.database,
            WorkflowSettings(engine.nodes_max, config.limits.definitions_bytes_max, engine.step_timeout_ms),
            definition_secrets,
        )
        self.library = WorkflowLibrary(self.database, self.workflows)
        self.key_rotation = KeyRotation(
            self.database, self.sealer, self.sealing_keys, [self.webhooks.reseal_some, resealer(definition_secrets)]
        )
        self.teammate_planner = TeammatePlanner(
            self.database, self.workflows, self.connectors, settings.teammate_settings(config)
        )

    def _build_workflows(self, config: Config) -> None:
        self._build_definitions(config)
        engine = config.engine
        self.engine = Engine(
            self.database,
            self.workflows,
            Services(
                self.storage,
                self.outbound,
                self.clock,
                engine.step_output_bytes_max,
                config.storage.max_upload_bytes,
                webhooks=self.webhooks,
                mailer=self.mailer,
                gateway=self.gateway,
                connectors=self.connectors,
                credentials=self.credentials,
                keeper=self.credential_keeper,
                workflows=self.workflows,
                families=Families(self.database),
                call_depth_max=engine.call_depth_max,
                foreach_items_max=engine.foreach_items_max,
                objects=self.objects,
                object_bytes_max=config.objects.output_bytes_max,
                teammates=self.teammate_planner,
                listeners=self.reply_streams,
            ),
            self.clock,
            settings.engine_settings(config),
            self.instance_id,
        )
        self.runs = RunService(
            self.database,
            self.workflows,
            self.engine,
            self.clock,
            settings.run_settings(config),
            self.disk.check,
        )
        self.hooks = HookService(self.orgs, self.workflows, self.runs, self.clock)
        self.jobs = JobService(
            self.database, self.workflows, self.runs, self.gateway, self.usage, JobAssets(self.assets, self.objects)
        )
        self.pulse = Pulse(self.database, self.clock, self.engine.load_of)
        self.engine.on_end(self.pulse.note_end)
        self.engine.on_begin(tell_started)
        self.engine.on_end(tell_ended)
        self.archived_runs = ArchivedRuns(self.database, self.runs)
        self.orgs.on_archive(self.runs.close_org)
        self.orgs.on_archive(self.archived_runs.end_of_organization)
        self.retries = RetryService(self.database, self.workflows, self.runs)
        self.run_lookup = RunLookup(self.database, self.workflows)
        self.event_waits = EventWaits(self.database, self.engine)
        self.awaited_events = EventConsumer(
            self.database, self.hub, self.event_log, CONSUMER, self.event_waits.wanted, self.event_waits.handle
        )
        self.teammates = TeammateService(
            self.database,
            self.workflows,
            self.runs,
            self.connectors,
            self.teammate_planner,
            self.reply_streams,
            settings.teammate_settings(config),
        )
        self.keys.bind_to(require_teammate)
        self.teammates.on_delete(self.keys.end_of_teammate)
        self._build_embedded()
        self._build_triggers()

    def _build_embedded(self) -> None:
        ttl_s = self.live.current.embedded.token_ttl_s
        self.end_users = EndUserService(self.database, self.clock, self.keyring.secret("embedded jwt"), ttl_s)
        self.end_users.on_delete(self.credentials.end_of_end_user)
        self.integrations = IntegrationService(self.database, self.workflows)
        self.installations = InstallationService(self.database, self.end_users, self.workflows)
        self.embedded_events = EmbeddedEvents(
            self.database, self.workflows, self.runs, self.event_waits, self.live.current.engine.payload_bytes_max
        )
        self.uninstalled_runs = UninstalledRuns(self.database, self.runs)
        self.installations.on_remove(self.uninstalled_runs.end_of_installation)
        self.run_logs = RunLogs(self.database, self.clock)
        self.end_user_purge = EndUserPurge(self.database, self.runs, self._settle_consumers)
        self.end_users.on_delete(self.end_user_purge.end_of_end_user)
        self.end_user_purge.on_delete(self.objects.delete_of_runs)
        self.end_user_purge.on_deleted(self.sweeper.settle)
        if self.object_sweeper.bucket is not None:
            self.end_user_purge.on_deleted(self.object_sweeper.bucket.sweep)

    async def _settle_consumers(self) -> None:
        for consumer in (self.awaited_events, self.triggers.consumer, self.webhook_events):
            await consumer.settle()

    def _build_triggers(self) -> None:
        def bounds() -> ScheduleSettings:
            return settings.schedule_settings(self.live.current)

        self.triggers = TriggerService(
            self.database,
            self.hub,
            self.event_log,
            self.workflows,
            self.runs,
            lambda: self.live.current.triggers.chain_max,
        )
        self.schedule_worker = ScheduleWorker(self.database, self.workflows, self.runs, self.clock, bounds)
        self.schedules = ScheduleService(
            self.database, self.workflows, self.runs, self.clock, bounds, self.schedule_worker.wake
        )
        self.orgs.on_archive(self.triggers.end_of_organization)
        self.orgs.on_archive(self.schedules.end_of_organization)
