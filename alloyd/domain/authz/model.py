"""What a grant is, and how its principal, action and resource are written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from alloyd.errors import bad_request
from alloyd.kit.text import fault_of_line
from alloyd.principal import ACTIONS, ANY_ID, RESOURCES, Grant, Role

GRANTS_PER_PRINCIPAL_MAX = 100  # each is looked at when its principal asks for anything
ID_CHARS_MAX = 200


class Effect(StrEnum):
    """What a grant does."""

    ALLOW = "allow"
    DENY = "deny"


class SubjectKind(StrEnum):
    """Whom a grant can be about."""

    USER = "user"
    KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a grant is about: a member of the organization, or one of its keys."""

    kind: SubjectKind
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True, slots=True)
class Resource:
    """What an action is done to: its kind in the caller's words, its id, and the organization it belongs to."""

    kind: str
    id: str
    org_id: str


@dataclass(frozen=True, slots=True)
class StoredGrant:
    """A grant as lists show it; times are milliseconds since the epoch."""

    id: str
    org_id: str
    subject: Subject
    action: str
    resource_kind: str
    resource_id: str
    effect: Effect
    granted_by: str
    granter_role: Role
    created_at: int

    @property
    def resource(self) -> str | None:
        """What the grant is narrowed to, as it was given."""
        return f"{self.resource_kind}:{self.resource_id}" if self.resource_kind else None

    def to_grant(self) -> Grant:
        """What travels with the principal."""
        return Grant(self.org_id, self.action, self.effect is Effect.ALLOW, self.resource_kind, self.resource_id)


@dataclass(frozen=True, slots=True)
class CreateGrant:
    """What a new grant is made of. ``principal`` is ``user:<id>``, ``api_key:<id>`` or the id alone."""

    principal: str
    action: str
    effect: Effect
    resource: str | None = None


def actions_of(action: str) -> list[str]:
    """The actions that ``action``, exact or ``<resource>.*``, stands for. Raises ``bad_request`` when it is none."""
    if action in ACTIONS:
        return [action]
    found = [known for known in ACTIONS if action.endswith(".*") and known.startswith(action[:-1])]
    if not found:
        raise bad_request("action: an action such as workflow.run, or workflow.* for all of a resource", "action")
    return found


def parse_resource(text: str, field: str = "resource") -> tuple[str, str]:
    """Kind and id of ``kind:id`` or ``kind:*``. Raises ``bad_request`` naming ``field``."""
    kind, colon, id_ = text.partition(":")
    if not colon or not kind:
        raise bad_request(f"{field}: <type>:<id> is wanted, such as workflow:{ANY_ID}", field)
    check_id(id_, field)
    return kind, id_


def check_id(id_: str, field: str) -> str:
    """``id_`` itself. Raises ``bad_request`` naming ``field`` for what can be no id."""
    fault = fault_of_line(id_, ID_CHARS_MAX)
    if fault is not None:
        raise bad_request(f"{field}: the id {fault}", field)
    return id_


def check_resource_kind(kind: str) -> None:
    """Raise ``bad_request`` for a kind of resource that no action is about."""
    if kind not in RESOURCES:
        raise bad_request(f"resource: no such type; there are: {', '.join(sorted(RESOURCES))}", "resource")


def parse_principal(text: str) -> tuple[SubjectKind | None, str]:
    """Kind, if it is told, and id of a grant's principal. Raises ``bad_request``."""
    before, colon, after = text.partition(":")
    if not colon:
        return None, check_id(text, "principal")
    try:
        kind = SubjectKind(before)
    except ValueError:
        raise bad_request("principal: user:<id> or api_key:<id> is wanted", "principal") from None
    return kind, check_id(after, "principal")
