"""The configuration's values as each capability takes them."""

from __future__ import annotations

import ssl
from pathlib import Path

from alloyd.config import Config, GrpcConfig, HttpConfig
from alloyd.domain.audit.model import AuditSettings
from alloyd.domain.invitations.model import DAY_MS, InvitationSettings
from alloyd.domain.objects.model import ObjectSettings, S3Settings
from alloyd.domain.retention.model import RetentionSettings
from alloyd.domain.runs.service import RunSettings
from alloyd.domain.runs.worker import EngineSettings
from alloyd.domain.schedules.model import ScheduleSettings
from alloyd.domain.sessions.model import SessionSettings
from alloyd.domain.storage.model import StorageSettings
from alloyd.domain.teammates.model import TeammateSettings
from alloyd.domain.usage.model import Budget, Period, UsageSettings
from alloyd.domain.webhooks.model import WebhookSettings
from alloyd.egress import EgressLimits
from alloyd.egress.smtp import SmtpSettings
from alloyd.errors import bad_request
from alloyd.wire.grpc.server import GrpcSettings
from alloyd.wire.listener import ListenerSettings


def invitation_settings(config: Config) -> InvitationSettings:
    """Bounds of an organization's invitations."""
    invitations = config.invitations
    return InvitationSettings(invitations.pending_max, invitations.per_hour_max, invitations.ttl_days * DAY_MS)


def session_settings(config: Config) -> SessionSettings:
    """Bounds of signing in."""
    auth = config.auth
    return SessionSettings(
        token_ttl_s=auth.token_ttl_s,
        user_cache_max=auth.user_cache_max,
        attempts_per_account=auth.sign_in_attempts_per_account,
        attempts_per_address=auth.sign_in_attempts_per_address,
        attempts_window_s=auth.sign_in_window_s,
        subjects_max=auth.sign_in_subjects_max,
        checks_waiting_max=auth.sign_ins_waiting_max,
        page_ttl_s=config.ui.session_ttl_s,
        page_max_s=config.ui.session_max_days * 24 * 3600,
    )


def storage_settings(config: Config) -> StorageSettings:
    """Bounds of file storage."""
    return StorageSettings(config.storage.max_upload_bytes, config.storage.uploads_max)


def object_settings(config: Config) -> ObjectSettings:
    """Where objects go, and their bounds."""
    own = config.objects
    bucket = None
    if own.s3_bucket is not None:
        bucket = S3Settings(
            own.s3_bucket,
            own.s3_region,
            own.s3_endpoint,
            own.s3_access_key,
            own.s3_secret_key.reveal() if own.s3_secret_key else None,
            own.s3_prefix,
            own.s3_path_style,
            own.s3_allow_http,
            own.s3_presign,
            own.s3_timeout_s,
        )
    base_url = own.base_url.rstrip("/") if own.base_url else None
    return ObjectSettings(own.backend, own.url_ttl_s, own.output_bytes_max, base_url, bucket)


def egress_limits(config: Config) -> EgressLimits:
    """Bounds of requests to other servers."""
    egress = config.egress
    return EgressLimits(
        connect_timeout_s=egress.connect_timeout_s,
        timeout_s=egress.timeout_s,
        response_bytes_max=egress.response_bytes_max,
        redirects_max=egress.redirects_max,
        connections_max=egress.connections_max,
    )


def engine_settings(config: Config) -> EngineSettings:
    """Bounds of the engine."""
    engine = config.engine
    return EngineSettings(
        running_max=engine.running_max,
        running_per_org_max=engine.running_per_org_max,
        steps_running_max=engine.steps_running_max,
        steps_running_per_org_max=engine.steps_running_per_org_max,
        step_output_bytes_max=engine.step_output_bytes_max,
        context_bytes_max=engine.context_bytes_max,
        run_deadline_ms=engine.run_deadline_ms,
    )


def run_settings(config: Config) -> RunSettings:
    """Bounds of an organization's runs."""
    engine = config.engine
    return RunSettings(engine.queued_per_org_max, engine.starts_per_s_per_org, engine.run_deadline_ms)


def usage_settings(config: Config) -> UsageSettings:
    """The budget of organizations that have none of their own."""
    budgets = config.budgets
    return UsageSettings(Budget(budgets.org_limit_micro_usd or None, Period(budgets.period)))


def audit_settings(config: Config) -> AuditSettings:
    """Bounds of refusals on record."""
    return AuditSettings(config.audit.refusals_per_address_max, config.audit.refusals_max)


def schedule_settings(config: Config) -> ScheduleSettings:
    """Bounds of schedules."""
    own = config.triggers
    return ScheduleSettings(
        own.misfire_grace_s * 1000, own.missed_runs_max, own.schedules_per_org_max, config.engine.payload_bytes_max
    )


def retention_settings(config: Config) -> RetentionSettings:
    """How long things are kept."""
    kept = config.retention
    return RetentionSettings(
        kept.runs_days,
        kept.runs_per_org_max,
        kept.events_days,
        kept.idempotency_hours,
        kept.usage_days,
        kept.deliveries_days,
        kept.audit_days,
        kept.audit_rows_max,
        kept.sweep_interval_s,
    )


def webhook_settings(config: Config) -> WebhookSettings:
    """Bounds of outgoing webhooks."""
    given = config.webhooks
    return WebhookSettings(
        given.per_org_max,
        given.timeout_s,
        given.attempts_max,
        given.retry_initial_s,
        given.retry_max_s,
        given.sending_max,
        given.sending_per_webhook_max,
        given.disable_after_hours,
        given.pending_max,
    )


def smtp_settings(config: Config) -> SmtpSettings:
    """The server that e-mail goes to."""
    given = config.email
    return SmtpSettings(
        given.host,
        given.port,
        given.security,
        given.username,
        given.password.reveal() if given.password else None,
        given.from_address,
        given.from_fixed == "yes",
        given.timeout_s,
        given.recipients_max,
        given.message_bytes_max,
    )


def teammate_settings(config: Config) -> TeammateSettings:
    """Bounds of what models are sent and of what is kept."""
    own = config.teammates
    return TeammateSettings(
        own.history_messages_max,
        own.history_chars_max,
        own.tool_result_chars_max,
        own.tool_calls_per_turn_max,
        own.conversation_messages_max,
        own.conversations_max,
        own.stream_chars_max,
        own.turns_bytes_max,
    )


def listener_settings(config: Config) -> ListenerSettings:
    """Bounds of a connection."""
    return ListenerSettings(
        config.http.headers_bytes_max, config.http.keepalive_timeout_s, tls=_tls_of(config.http, "http")
    )


def grpc_settings(config: Config) -> GrpcSettings:
    """The gRPC door. Raises ``bad_request`` naming a file of its certificate that can't be read or used."""
    own = config.grpc
    pair: tuple[bytes | None, bytes | None] = (None, None)
    if _tls_of(own, "grpc") is not None:  # what OpenSSL takes for HTTP is good for gRPC
        pair = Path(own.tls_certificate_file or "").read_bytes(), Path(own.tls_key_file or "").read_bytes()
    return GrpcSettings(own.host, own.port, own.message_bytes_max, own.calls_max, *pair)


def _tls_of(group: HttpConfig | GrpcConfig, name: str) -> ssl.SSLContext | None:
    certificate, key = group.tls_certificate_file, group.tls_key_file
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing = "tls_key_file" if key is None else "tls_certificate_file"
        raise bad_request(f"{name}.{missing}: wanted beside the other file of the pair", f"{name}.{missing}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        field = f"{name}.tls_certificate_file"
        reason = error.strerror or type(error).__name__
        raise bad_request(f"{field}: the certificate and its key can't be used: {reason}", field) from error
    return context
