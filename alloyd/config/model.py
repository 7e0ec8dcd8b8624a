"""Every setting: its type, default, bounds, unit and meaning. The example file and the docs are made from here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec

from alloyd.config import rules
from alloyd.config.fields import choice, flag, number, secret, text, text_or_none, texts
from alloyd.config.objects import ObjectsConfig
from alloyd.config.providers import ProviderConfig
from alloyd.config.secret import Secret

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB
TIB: Final = 1024 * GIB
DAY_MS: Final = 24 * 60 * 60 * 1000

NO_SOURCES: Final[Mapping[str, str]] = MappingProxyType({})
NO_PROVIDERS: Final[Mapping[str, ProviderConfig]] = MappingProxyType({})


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group of settings."""


class HttpConfig(Group, frozen=True, kw_only=True):
    """The HTTP server."""

    host: Annotated[str, text("Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, number("TCP port to listen on; 0 takes a free one.", 0, 65535)] = 3001
    trusted_proxies: Annotated[
        tuple[str, ...],
        texts(
            "Address ranges of reverse proxies whose X-Forwarded-* headers are believed; from anyone else they"
            " are ignored.",
            rules.network,
            live=True,
        ),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...],
        texts("Host names that requests may be addressed to; empty means any.", rules.host, live=True),
    ] = ()
    headers_bytes_max: Annotated[int, number("Largest request line, and largest single header.", KIB, MIB, "bytes")] = (
        16 * KIB
    )
    body_bytes_max: Annotated[int, number("Largest JSON request body.", KIB, 64 * MIB, "bytes")] = MIB
    read_timeout_s: Annotated[
        int, number("A request body without progress for this long is given up.", 1, 3600, "seconds")
    ] = 30
    keepalive_timeout_s: Annotated[
        int, number("How long an idle connection is kept open for the next request.", 1, 3600, "seconds")
    ] = 75
    tls_certificate_file: Annotated[
        str | None,
        text_or_none("PEM file with the certificate and its chain; with none, connections are not encrypted."),
    ] = None
    tls_key_file: Annotated[str | None, text_or_none("PEM file with the certificate's private key.")] = None


class GrpcConfig(Group, frozen=True, kw_only=True):
    """The gRPC server."""

    enabled: Annotated[bool, flag("Whether the control plane is served over gRPC too.")] = True
    host: Annotated[str, text("Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, number("TCP port to listen on; 0 takes a free one.", 0, 65535)] = 3002
    message_bytes_max: Annotated[int, number("Largest request.", KIB, 64 * MIB, "bytes")] = MIB
    calls_max: Annotated[int, number("Calls at one time, streams among them.", 1, 100_000, "calls")] = 2000
    tls_certificate_file: Annotated[
        str | None,
        text_or_none("PEM file with the certificate and its chain; with none, connections are not encrypted."),
    ] = None
    tls_key_file: Annotated[str | None, text_or_none("PEM file with the certificate's private key.")] = None


class DataConfig(Group, frozen=True, kw_only=True):
    """The data directory and the database."""

    dir: Annotated[
        str, text("Directory of database, files and keys; a relative one starts where alloyd was started.")
    ] = "./data"
    readers: Annotated[int, number("Read-only database connections.", 1, 64)] = 3
    group_commit_max: Annotated[
        int, number("Most writes that share one transaction and its fsync.", 1, 10_000, "writes")
    ] = 512
    checkpoint_pages: Annotated[
        int, number("Pages in the write-ahead log at which it is copied back.", 100, 1_000_000, "pages")
    ] = 2000
    disk_free_bytes_min: Annotated[
        int,
        number("With less free disk than this, new work is refused; what runs goes on.", 0, TIB, "bytes", live=True),
    ] = 256 * MIB


class AuthConfig(Group, frozen=True, kw_only=True):
    """Keys and passwords."""

    key_cache_max: Annotated[int, number("API keys kept in memory.", 1, 1_000_000, "keys")] = 10_000
    key_last_used_flush_s: Annotated[
        int, number("How often the times of last use are written down.", 1, 3600, "seconds")
    ] = 60
    password_bytes_min: Annotated[int, number("Shortest password.", 8, 128, "bytes")] = 12
    token_ttl_s: Annotated[int, number("How long the token of a sign-in lives.", 60, 30 * 24 * 3600, "seconds")] = 3600
    user_cache_max: Annotated[int, number("Signed-in users kept in memory.", 1, 1_000_000, "users")] = 10_000
    sign_in_attempts_per_account: Annotated[
        int, number("Failed sign-ins of one account within the window, before it has to wait.", 1, 1000, "attempts")
    ] = 10
    sign_in_attempts_per_address: Annotated[
        int,
        number(
            "Failed sign-ins from one address, or one /64 of IPv6, within the window, before it has to wait.",
            1,
            100_000,
            "attempts",
        ),
    ] = 50
    sign_in_window_s: Annotated[
        int, number("In this time all attempts come back, one after the other.", 1, 86_400, "seconds")
    ] = 900
    sign_in_subjects_max: Annotated[
        int, number("Accounts, and as many addresses, whose failures are remembered.", 100, 10_000_000, "subjects")
    ] = 50_000
    sign_ins_waiting_max: Annotated[
        int, number("Passwords that may wait to be checked; further sign-ins are refused.", 1, 10_000, "sign-ins")
    ] = 64


class UiConfig(Group, frozen=True, kw_only=True):
    """The web page."""

    public_url: Annotated[
        str | None,
        text_or_none(
            "Origin at which browsers reach the page through a proxy, such as https://alloyd.example.com.",
            rule=rules.origin,
        ),
    ] = None
    session_ttl_s: Annotated[
        int, number("A session ends when the page was not used for this long.", 300, 30 * 24 * 3600, "seconds")
    ] = 12 * 3600
    session_max_days: Annotated[int, number("Longest session, however much the page is used.", 1, 365, "days")] = 30


class InvitationsConfig(Group, frozen=True, kw_only=True):
    """Invitations to an organization."""

    pending_max: Annotated[int, number("Pending ones of an organization.", 1, 100_000, "invitations")] = 100
    per_hour_max: Annotated[int, number("New ones of an organization in an hour.", 1, 100_000, "invitations")] = 20
    ttl_days: Annotated[int, number("How long one can be accepted.", 1, 365, "days")] = 7


class StorageConfig(Group, frozen=True, kw_only=True):
    """File storage."""

    max_upload_bytes: Annotated[int, number("Largest uploaded file.", 1, TIB, "bytes", live=True)] = 10 * MIB
    sweep_interval_s: Annotated[
        int, number("How often files that no row names any more are deleted.", 1, 86_400, "seconds")
    ] = 60
    uploads_max: Annotated[int, number("Uploads at one time.", 1, 10_000, "uploads")] = 64


class EngineConfig(Group, frozen=True, kw_only=True):
    """Running workflows."""

    running_max: Annotated[int, number("Runs at one time.", 1, 100_000, "runs", live=True)] = 256
    running_per_org_max: Annotated[
        int, number("Runs of one organization at one time.", 1, 100_000, "runs", live=True)
    ] = 128
    queued_per_org_max: Annotated[
        int, number("Waiting runs of one organization; further ones are refused.", 1, 100_000_000, "runs", live=True)
    ] = 1_000_000
    starts_per_s_per_org: Annotated[
        int,
        number("Runs that one organization may start in a second; 0 means no limit.", 0, 1_000_000, "runs", live=True),
    ] = 0
    steps_running_max: Annotated[int, number("Steps at one time, over all runs.", 1, 100_000, "steps")] = 512
    steps_running_per_org_max: Annotated[int, number("Steps of one organization at one time.", 1, 100_000, "steps")] = (
        256
    )
    step_timeout_ms: Annotated[int, number("A step's time, where its node sets none.", 1, DAY_MS, "milliseconds")] = (
        300_000
    )
    run_deadline_ms: Annotated[
        int, number("A run's time from its start, where its workflow sets none.", 1, 365 * DAY_MS, "milliseconds")
    ] = 7 * DAY_MS
    payload_bytes_max: Annotated[int, number("Largest input of a run.", KIB, 64 * MIB, "bytes")] = MIB
    step_output_bytes_max: Annotated[int, number("Largest output of a step.", KIB, 64 * MIB, "bytes")] = MIB
    context_bytes_max: Annotated[int, number("Largest sum of a run's input and outputs.", KIB, 256 * MIB, "bytes")] = (
        4 * MIB
    )
    nodes_max: Annotated[int, number("Most nodes in a workflow.", 1, 10_000, "nodes")] = 500
    call_depth_max: Annotated[int, number("How deep workflows may call each other.", 1, 100, "workflows")] = 16
    foreach_items_max: Annotated[int, number("Most items of a foreach.", 1, 1_000_000, "items")] = 10_000
    shutdown_grace_s: Annotated[
        int, number("At a stop, how long running steps may take to end.", 0, 3600, "seconds")
    ] = 20
    wait_s_max: Annotated[int, number("Longest that a request may wait for the end of a run.", 1, 3600, "seconds")] = 60


class TriggersConfig(Group, frozen=True, kw_only=True):
    """What starts workflows besides requests: events, files, schedules."""

    chain_max: Annotated[
        int,
        number("How many runs in a row may each be started by an event of the one before.", 1, 100, "runs", live=True),
    ] = 8
    schedules_per_org_max: Annotated[
        int, number("Schedules of one organization.", 1, 1_000_000, "schedules", live=True)
    ] = 10_000
    misfire_grace_s: Annotated[
        int,
        number(
            "A schedule's time that is past by more than this counts as missed; its misfire policy decides then.",
            1,
            3600,
            "seconds",
            live=True,
        ),
    ] = 60
    missed_runs_max: Annotated[
        int,
        number("Most runs that a schedule with misfire `all` makes up for at once.", 1, 10_000, "runs", live=True),
    ] = 100


class EventsConfig(Group, frozen=True, kw_only=True):
    """Live events."""

    reader_queue_max: Annotated[
        int,
        number(
            "Events that may wait for one reader; a slower reader is caught up from the table.", 1, 1_000_000, "events"
        ),
    ] = 1000
    heartbeat_s: Annotated[int, number("A sign of life on a quiet stream.", 1, 600, "seconds")] = 15
    streams_per_principal_max: Annotated[int, number("Open streams of one caller.", 1, 100_000, "streams")] = 100
    streams_max: Annotated[int, number("Open streams.", 1, 100_000, "streams")] = 2000
    allowed_origins: Annotated[
        tuple[str, ...],
        texts(
            "Origins whose pages may open streams from a browser; empty means only this server's own.",
            rules.origin,
            live=True,
        ),
    ] = ()


class EmbeddedConfig(Group, frozen=True, kw_only=True):
    """The embedded API, which other companies' products call for their own users."""

    allowed_origins: Annotated[
        tuple[str, ...],
        texts(
            "Origins whose pages may call the embedded API from a browser, with a user's token; empty means none.",
            rules.origin,
            live=True,
        ),
    ] = ()
    token_ttl_s: Annotated[int, number("How long the token of an end user lives.", 60, 86_400, "seconds")] = 900


class TeammatesConfig(Group, frozen=True, kw_only=True):
    """AI teammates: what a model is sent of a conversation, and how much of conversations is kept."""

    history_messages_max: Annotated[
        int, number("Earlier messages of a conversation that a model is sent.", 0, 1000, "messages")
    ] = 50
    history_chars_max: Annotated[
        int, number("How long those messages may be together; the oldest are left out.", 0, 10_000_000, "characters")
    ] = 100_000
    tool_result_chars_max: Annotated[
        int, number("How much of a tool's result a model is sent.", 256, 1_000_000, "characters")
    ] = 50_000
    turns_bytes_max: Annotated[int, number("What the turns for one message may take.", KIB, GIB, "bytes")] = 16 * MIB
    tool_calls_per_turn_max: Annotated[
        int, number("Tools that a model may call at one time; further calls are refused.", 1, 128, "calls")
    ] = 16
    conversation_messages_max: Annotated[
        int, number("Messages that are kept of a conversation; the oldest are forgotten.", 2, 100_000, "messages")
    ] = 1000
    conversations_max: Annotated[
        int, number("Conversations kept with a teammate; the longest at rest go.", 1, 10_000_000, "conversations")
    ] = 10_000
    stream_chars_max: Annotated[
        int, number("Largest reply told while it is written; more comes at its end.", KIB, 64 * MIB, "characters")
    ] = MIB
    reply_wait_s: Annotated[
        int, number("Longest that a request waits for a reply; the run goes on after that.", 1, 3600, "seconds")
    ] = 300


class EgressConfig(Group, frozen=True, kw_only=True):
    """Requests that workflows make to other servers."""

    allow: Annotated[
        tuple[str, ...],
        texts(
            "Private destinations that may be reached all the same: address ranges, or host names with a port or"
            " without. Public ones always may.",
            rules.destination,
            live=True,
        ),
    ] = ()
    connect_timeout_s: Annotated[int, number("Time for a connection.", 1, 600, "seconds")] = 10
    timeout_s: Annotated[int, number("Time for a whole request.", 1, 86_400, "seconds")] = 300
    response_bytes_max: Annotated[int, number("Largest response.", KIB, GIB, "bytes")] = 10 * MIB
    redirects_max: Annotated[int, number("Redirects that are followed.", 0, 50, "redirects")] = 5
    connections_max: Annotated[int, number("Connections at one time.", 1, 10_000, "connections")] = 100


class BudgetsConfig(Group, frozen=True, kw_only=True):
    """What organizations may spend that have no budget of their own."""

    org_limit_micro_usd: Annotated[
        int,
        number(
            "Most that one organization may spend in a period; 0 means no limit.", 0, 10**15, "micro-USD", live=True
        ),
    ] = 0
    period: Annotated[
        Literal["day", "month"], choice("How long a budget lasts: a calendar day or month in UTC.", live=True)
    ] = "month"


class WebhooksConfig(Group, frozen=True, kw_only=True):
    """Outgoing webhooks."""

    per_org_max: Annotated[int, number("Webhooks of one organization.", 1, 10_000, "webhooks", live=True)] = 100
    timeout_s: Annotated[int, number("Time for one attempt of a delivery.", 1, 300, "seconds", live=True)] = 15
    attempts_max: Annotated[
        int, number("Attempts of a delivery; with these defaults they take about a day.", 1, 100, "attempts", live=True)
    ] = 15
    retry_initial_s: Annotated[
        int,
        number(
            "Wait after the first failure; doubled with each further one, half more or less.",
            1,
            86_400,
            "seconds",
            live=True,
        ),
    ] = 10
    retry_max_s: Annotated[int, number("Longest wait between attempts.", 1, 86_400, "seconds", live=True)] = 21_600
    sending_max: Annotated[int, number("Attempts at one time.", 1, 1000, "attempts", live=True)] = 32
    sending_per_webhook_max: Annotated[
        int, number("Attempts of one webhook at one time.", 1, 100, "attempts", live=True)
    ] = 4
    disable_after_hours: Annotated[
        int, number("A webhook that has only failed for this long is disabled.", 1, 8760, "hours", live=True)
    ] = 72
    pending_max: Annotated[
        int,
        number("A webhook for which this many deliveries wait is disabled.", 1, 10_000_000, "deliveries", live=True),
    ] = 100_000


class EmailConfig(Group, frozen=True, kw_only=True):
    """The SMTP server that email.send hands messages to."""

    host: Annotated[str | None, text_or_none("Its name or address; with none, email.send fails.", live=True)] = None
    port: Annotated[int, number("Its TCP port.", 1, 65535, live=True)] = 587
    security: Annotated[
        Literal["starttls", "tls", "none"],
        choice("How the connection is encrypted: after STARTTLS, from its beginning, or not at all.", live=True),
    ] = "starttls"
    username: Annotated[str | None, text_or_none("User name; with none, nobody signs in.", live=True)] = None
    password: Annotated[Secret | None, secret("Its password.", live=True)] = None
    from_address: Annotated[
        str | None, text_or_none("Sender of messages that name none: an address, or Name <address>.", live=True)
    ] = None
    from_fixed: Annotated[
        Literal["yes", "no"], choice("Whether a workflow may not name another sender than from_address.", live=True)
    ] = "yes"
    timeout_s: Annotated[int, number("Time for each answer of the server.", 1, 600, "seconds", live=True)] = 30
    recipients_max: Annotated[int, number("Recipients of one message.", 1, 10_000, "recipients", live=True)] = 50
    message_bytes_max: Annotated[int, number("Largest message.", KIB, GIB, "bytes", live=True)] = 25 * MIB
    connections_max: Annotated[int, number("Connections at one time.", 1, 1000, "connections")] = 8


class AuditConfig(Group, frozen=True, kw_only=True):
    """The audit trail."""

    refusals_per_address_max: Annotated[
        int,
        number(
            "Refused requests of one address, or one IPv6 /64, that get a row each in a minute; the rest are counted.",
            0,
            100_000,
            "rows",
            live=True,
        ),
    ] = 30
    refusals_max: Annotated[
        int, number("Refused requests of all addresses that get a row each in a minute.", 0, 100_000, "rows", live=True)
    ] = 600


class RetentionConfig(Group, frozen=True, kw_only=True):
    """How long things are kept."""

    runs_days: Annotated[int, number("Ended runs older than this are deleted.", 1, 36_500, "days", live=True)] = 30
    runs_per_org_max: Annotated[
        int,
        number(
            "Ended runs kept for one organization; beyond it the oldest are deleted.", 1, 100_000_000, "runs", live=True
        ),
    ] = 100_000
    events_days: Annotated[int, number("Events older than this are deleted.", 1, 36_500, "days", live=True)] = 30
    usage_days: Annotated[
        int,
        number("Usage records older than this are deleted; their sums stay.", 1, 36_500, "days", live=True),
    ] = 400
    deliveries_days: Annotated[
        int, number("Ended deliveries of webhooks older than this are deleted.", 1, 36_500, "days", live=True)
    ] = 30
    audit_days: Annotated[
        int, number("Rows of the audit trail older than this are deleted.", 1, 36_500, "days", live=True)
    ] = 365
    audit_rows_max: Annotated[
        int,
        number(
            "Rows of the audit trail that are kept at most; beyond it the oldest are deleted.",
            10_000,
            10_000_000_000,
            "rows",
            live=True,
        ),
    ] = 20_000_000
    sweep_interval_s: Annotated[
        int, number("How often it is looked for what to delete.", 1, 86_400, "seconds", live=True)
    ] = 300
    idempotency_hours: Annotated[
        int, number("How long an idempotency key is remembered.", 24, 8760, "hours", live=True)
    ] = 24


class LimitsConfig(Group, frozen=True, kw_only=True):
    """Bounds on what a request may ask for."""

    json_depth_max: Annotated[int, number("Deepest nesting of a JSON body.", 4, 500, "levels")] = 64
    list_limit_max: Annotated[int, number("Most items on a page of a list.", 1, 10_000, "items")] = 200
    list_limit_default: Annotated[
        int, number("Items on a page of a list, when not asked for otherwise.", 1, 10_000, "items")
    ] = 50
    definitions_bytes_max: Annotated[int, number("Largest workflow definition.", KIB, 64 * MIB, "bytes")] = MIB


class LogConfig(Group, frozen=True, kw_only=True):
    """The log, which goes to stderr."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], choice("What is less severe is left out.", live=True)
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "console"],
        choice("JSON lines, or lines for people; auto means the latter on a terminal."),
    ] = "auto"


class MetricsConfig(Group, frozen=True, kw_only=True):
    """The metrics at /metrics."""

    token: Annotated[
        Secret | None,
        secret("Bearer token for /metrics; with none, only this machine may read them.", live=True),
    ] = None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. ``sources`` says by ``group.key`` where a value came from, unless it is the default."""

    http: HttpConfig = HttpConfig()
    grpc: GrpcConfig = GrpcConfig()
    data: DataConfig = DataConfig()
    auth: AuthConfig = AuthConfig()
    ui: UiConfig = UiConfig()
    invitations: InvitationsConfig = InvitationsConfig()
    storage: StorageConfig = StorageConfig()
    objects: ObjectsConfig = ObjectsConfig()
    engine: EngineConfig = EngineConfig()
    triggers: TriggersConfig = TriggersConfig()
    events: EventsConfig = EventsConfig()
    embedded: EmbeddedConfig = EmbeddedConfig()
    teammates: TeammatesConfig = TeammatesConfig()
    egress: EgressConfig = EgressConfig()
    budgets: BudgetsConfig = BudgetsConfig()
    webhooks: WebhooksConfig = WebhooksConfig()
    email: EmailConfig = EmailConfig()
    audit: AuditConfig = AuditConfig()
    retention: RetentionConfig = RetentionConfig()
    limits: LimitsConfig = LimitsConfig()
    log: LogConfig = LogConfig()
    metrics: MetricsConfig = MetricsConfig()
    providers: Mapping[str, ProviderConfig] = NO_PROVIDERS
    sources: Mapping[str, str] = NO_SOURCES
