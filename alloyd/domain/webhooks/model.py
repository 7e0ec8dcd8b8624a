"""What an outgoing webhook and a delivery are; patterns of events, and the times of the attempts; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from alloyd.egress import EgressError
from alloyd.egress.hosts import parse_target
from alloyd.errors import bad_request
from alloyd.kit.ids import random_token
from alloyd.kit.signatures import fault_of_secret
from alloyd.kit.text import fault_of_line

DAY_MS: Final = 24 * 3600 * 1000
URL_CHARS_MAX: Final = 2048
DESCRIPTION_CHARS_MAX: Final = 500
PATTERNS_MAX: Final = 50
PATTERN_CHARS_MAX: Final = 128
GRACE_MS: Final = DAY_MS
GRACE_MS_MAX: Final = 30 * DAY_MS
ATTEMPTS_KEPT: Final = 30  # of one delivery, the newest
SNIPPET_BYTES: Final = 1024  # of what the other side answered
TEST_KIND: Final = "webhook.test"

# For descriptions of the API.
KIND_PATTERN: Final = r"^(?:\*|[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*(?:\.\*)?)$"

_PATTERN: Final = re.compile(KIND_PATTERN.removesuffix("$") + r"\Z")
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # what every secret begins with
_SECRET_CHARS: Final = 43


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"  # its webhook was disabled or deleted before it arrived


class DisabledReason(StrEnum):
    """Why a webhook is not used."""

    BY_REQUEST = "by_request"
    GONE = "gone"  # the other side answered 410
    FAILING = "failing"  # nothing arrived for webhooks.disable_after_hours
    BACKLOG = "backlog"  # more deliveries wait than webhooks.pending_max
    ARCHIVED = "archived"  # its organization was


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Bounds; the configuration's group ``webhooks``."""

    per_org_max: int = 100
    timeout_s: float = 15.0
    attempts_max: int = 15
    retry_initial_s: int = 10
    retry_max_s: int = 21_600
    sending_max: int = 32
    sending_per_webhook_max: int = 4
    disable_after_hours: int = 72
    pending_max: int = 100_000


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as it is stored: its secrets are sealed. Times are ms since the epoch."""

    id: str
    org_id: str
    url: str
    description: str | None
    events: tuple[str, ...]
    secret: str
    former_secret: str | None
    former_until: int | None
    enabled: bool
    disabled_reason: str | None
    failing_since: int | None
    created_by: str
    created_at: int
    updated_at: int

    def __repr__(self) -> str:
        return f"Webhook({self.id})"


@dataclass(frozen=True, slots=True)
class IssuedWebhook:
    """A webhook with its new secret, told this once; None for a repeat of the request that made it."""

    webhook: Webhook
    secret: str | None

    def __repr__(self) -> str:
        return f"IssuedWebhook({self.webhook.id})"


@dataclass(frozen=True, slots=True)
class CreateWebhook:
    """What a new webhook is to be. ``secret`` None: one is made."""

    url: str
    events: Sequence[str]
    description: str | None = None
    secret: str | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class ChangeWebhook:
    """What is to be different of a webhook; UNSET stays as it is."""

    url: str | UnsetType = UNSET
    events: Sequence[str] | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Destination:
    """Where something is sent and what signs it; two secrets while one replaces the other."""

    url: str
    secrets: tuple[str, ...]

    def __repr__(self) -> str:
        return "Destination(...)"


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt of a delivery. ``status`` and ``response`` are the answer's, ``error`` why there was none."""

    attempt: int
    at: int
    duration_ms: int
    status: int | None = None
    error: str | None = None
    response: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to a webhook. ``attempts`` are the newest, oldest first."""

    id: str
    org_id: str
    webhook_id: str
    event_id: str
    kind: str
    body: bytes
    state: DeliveryState
    round_attempts: int
    attempts: tuple[Attempt, ...]
    next_attempt_at: int | None
    created_at: int
    ended_at: int | None

    @property
    def attempt_count(self) -> int:
        """All attempts there ever were."""
        return self.attempts[-1].attempt if self.attempts else 0


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries of a webhook are wanted; None wants all."""

    state: DeliveryState | None = None
    kind: str | None = None
    event_id: str | None = None


def new_secret() -> str:
    """A secret of 258 random bits."""
    return _SECRET_PREFIX + random_token(_SECRET_CHARS)


def check_secret(secret: str) -> str:
    """``secret`` itself. Raises ``bad_request``, which does not repeat it."""
    fault = fault_of_secret("alloyd", secret)
    if fault is not None:
        raise bad_request(f"secret: {fault}", "secret")
    return secret


def check_url(url: str) -> str:
    """``url`` itself. Raises ``bad_request`` for what could never be sent to, whatever the operator opened."""
    if len(url) > URL_CHARS_MAX:
        raise bad_request(f"url: at most {URL_CHARS_MAX} characters", "url")
    try:
        parse_target(url)
    except EgressError as error:
        raise bad_request(f"url: {error.message}", "url") from None
    return url


def host_of(url: str) -> str:
    """What may be told of a URL: its path and query may hold a secret."""
    return parse_target(url).where


def check_patterns(patterns: Sequence[str]) -> tuple[str, ...]:
    """The patterns, each once. Raises ``bad_request`` naming the one at fault."""
    if not 1 <= len(patterns) <= PATTERNS_MAX:
        raise bad_request(f"events: 1 to {PATTERNS_MAX} are wanted", "events")
    for index, pattern in enumerate(patterns):
        if len(pattern) > PATTERN_CHARS_MAX or not _PATTERN.match(pattern):
            told = "a kind such as order.paid, all that begin so as order.*, or *"
            raise bad_request(f"events[{index}]: {told}", f"events[{index}]")
    return tuple(dict.fromkeys(patterns))


def check_description(text: str | None) -> str | None:
    """``text`` itself. Raises ``bad_request`` unless it is None or one line."""
    fault = None if text is None else fault_of_line(text, DESCRIPTION_CHARS_MAX)
    if fault is not None:
        raise bad_request(f"description: {fault}", "description")
    return text


def wants(patterns: Sequence[str], kind: str) -> bool:
    """Whether an event of ``kind`` is among what the patterns ask for."""
    return any(
        pattern in ("*", kind) or (pattern.endswith(".*") and kind.startswith(pattern[:-1])) for pattern in patterns
    )


def retry_delay_ms(settings: WebhookSettings, attempts: int, chance: float, asked_ms: int | None) -> int:
    """How long to wait after the ``attempts``-th failure in a row: doubled each time, up to half more or less.

    ``chance`` is random between 0 and 1; ``asked_ms`` what the other side's ``Retry-After`` wants at least.
    """
    most_ms = settings.retry_max_s * 1000
    delay_ms = min(settings.retry_initial_s * 1000 * 2 ** min(attempts - 1, 40), most_ms)
    return max(int(delay_ms * (0.5 + chance)), min(asked_ms or 0, DAY_MS))
