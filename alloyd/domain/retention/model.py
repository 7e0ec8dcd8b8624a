"""How long things are kept, and what a round of retention did."""

from __future__ import annotations

from dataclasses import dataclass

DAY_MS = 24 * 3600 * 1000
HOUR_MS = 3600 * 1000


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """The configuration's group ``retention``."""

    runs_days: int = 30
    runs_per_org_max: int = 100_000
    events_days: int = 30
    idempotency_hours: int = 24
    usage_days: int = 400
    deliveries_days: int = 30
    audit_days: int = 365
    audit_rows_max: int = 20_000_000
    sweep_interval_s: float = 300.0


@dataclass(slots=True)
class Swept:
    """What was deleted (events do not count those of the runs), and pages given back."""

    runs: int = 0
    events: int = 0
    idempotency_keys: int = 0
    usage_records: int = 0
    webhook_deliveries: int = 0
    audit_rows: int = 0
    pages: int = 0

    @property
    def anything(self) -> bool:
        """Whether there was something to do."""
        return bool(
            self.runs
            or self.events
            or self.idempotency_keys
            or self.usage_records
            or self.webhook_deliveries
            or self.audit_rows
            or self.pages
        )
