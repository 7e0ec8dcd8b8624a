"""The configuration's values as each capability takes them."""

from __future__ import annotations

from alloyd.config import Config
from alloyd.domain.retention.model import RetentionSettings
from alloyd.domain.runs.service import RunSettings
from alloyd.domain.runs.worker import EngineSettings
from alloyd.domain.storage.model import StorageSettings
from alloyd.domain.usage.model import Budget, Period, UsageSettings
from alloyd.egress import EgressLimits
from alloyd.wire.listener import ListenerSettings


def storage_settings(config: Config) -> StorageSettings:
    """Bounds of file storage."""
    return StorageSettings(config.storage.max_upload_bytes, config.storage.uploads_max)


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
        step_output_bytes_max=engine.step_output_bytes_max,
        context_bytes_max=engine.context_bytes_max,
    )


def run_settings(config: Config) -> RunSettings:
    """Bounds of an organization's runs."""
    engine = config.engine
    return RunSettings(engine.queued_per_org_max, engine.starts_per_s_per_org, engine.run_deadline_ms)


def usage_settings(config: Config) -> UsageSettings:
    """The budget of organizations that have none of their own."""
    budgets = config.budgets
    return UsageSettings(Budget(budgets.org_limit_micro_usd or None, Period(budgets.period)))


def retention_settings(config: Config) -> RetentionSettings:
    """How long things are kept."""
    kept = config.retention
    return RetentionSettings(
        kept.runs_days,
        kept.runs_per_org_max,
        kept.events_days,
        kept.idempotency_hours,
        kept.usage_days,
        kept.sweep_interval_s,
    )


def listener_settings(config: Config) -> ListenerSettings:
    """Bounds of a connection."""
    return ListenerSettings(config.http.headers_bytes_max, config.http.keepalive_timeout_s)
