"""What a connector is: where an application is reached, how one proves who one is, and what it can be asked to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

DEFINITION_BYTES_MAX: Final = 256 * 1024
ACTIONS_MAX: Final = 200
PARAMETERS_MAX: Final = 100
OWN_PREFIX: Final = "own-"  # keeps an organization's connectors apart from those that ship, also from later ones
NAME_PATTERN: Final = r"^own-[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?$"
PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
AuthKind = Literal["api_key", "bearer", "basic", "oauth2"]
ValueType = Literal["string", "integer", "number", "boolean", "object", "array", "any"]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all parts: a name that nobody knows is a fault, not passed over."""


class Setting(_Part, frozen=True):
    """Something that differs from account to account and is no secret, given with a credential.

    ``label`` is one label of a host name, ``text`` anything that can stand in one segment of a path, ``url`` a whole
    base URL, ``header`` a header's name.
    """

    title: str
    kind: Literal["label", "text", "url", "header"] = "text"
    required: bool = True
    default: str | None = None


class Auth(_Part, frozen=True):
    """One way to prove who one is.

    ``api_key`` goes into ``header``, after ``prefix``; ``bearer`` into `Authorization`, after ``scheme``. The rest is
    of ``oauth2``: ``token_auth`` says where the client's id and secret go, ``token_format`` how the request is
    written. A client without ``pkce`` sends no challenge.
    """

    kind: AuthKind
    header: str | None = None
    prefix: str = ""
    scheme: str = "Bearer"
    authorize_url: str | None = None
    token_url: str | None = None
    scopes: tuple[str, ...] = ()
    scope_separator: str = " "
    pkce: bool = True
    token_auth: Literal["basic", "body"] = "body"  # noqa: S105  # where a client says who it is
    token_format: Literal["form", "json"] = "form"  # noqa: S105  # how the request is written
    authorize_params: dict[str, str] = msgspec.field(default_factory=dict)


class Parameter(_Part, frozen=True, rename={"in_": "in"}):
    """One thing that an action takes. ``in`` is where it goes, ``name`` what it is called there.

    ``style`` is how a list or an object is written in a query or a form: once for each value (``repeat``), joined
    (``comma``), with ``a[b]`` (``brackets``) or each member as a parameter of its own (``spread``). In a path
    ``segments`` lets slashes through. ``whole``: the parameter is the body itself.
    """

    type: ValueType
    in_: Literal["path", "query", "header", "body"]
    description: str = ""
    required: bool = False
    name: str | None = None
    style: Literal["repeat", "comma", "brackets", "spread", "segments"] | None = None
    whole: bool = False
    enum: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    default: Any = None


class Paging(_Part, frozen=True):
    """How a list goes on.

    ``cursor``: the value at ``next`` is sent as ``param``, while ``more`` (if there is one) is true. ``page`` and
    ``offset`` count pages and items. ``link``: the `Link` header's next, or the URL at ``next``. ``items`` is where
    the list is in the answer, empty when the answer is the list. ``limit`` is the parameter for the size of a page.
    """

    kind: Literal["cursor", "page", "offset", "link", "none"] = "none"
    items: str = ""
    param: str | None = None
    in_: Literal["query", "body"] = msgspec.field(default="query", name="in")
    next: str | None = None
    more: str | None = None
    limit: str | None = None
    limit_max: int = 100
    first: int = 1


class Action(_Part, frozen=True):
    """One thing an application can be asked to do. ``constants`` are sent in the body as they are."""

    key: str
    title: str
    method: Method
    path: str
    description: str = ""
    reference: str | None = None
    body: Literal["json", "form", "none"] = "none"
    parameters: dict[str, Parameter] = msgspec.field(default_factory=dict)
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    constants: dict[str, Any] = msgspec.field(default_factory=dict)
    paging: Paging = msgspec.field(default_factory=Paging)


class Errors(_Part, frozen=True):
    """How an application says no. With ``ok`` a 2xx whose member there is false has failed, for the reason at ``code``.

    ``retryable`` are codes that get better by themselves, ``expired`` those that mean a new token is wanted.
    """

    ok: str | None = None
    code: str | None = None
    retryable: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()


class RateLimit(_Part, frozen=True):
    """Which statuses say "too often", and the headers that tell when to come again.

    ``reset`` holds seconds since the epoch (``at``) or from now (``in``); with ``remaining`` a 403 counts too while
    that header is 0.
    """

    statuses: tuple[int, ...] = (429,)
    retry_after: str = "retry-after"
    reset: str | None = None
    reset_is: Literal["at", "in"] = "at"
    remaining: str | None = None


class Definition(_Part, frozen=True):
    """A connector as it is written. ``reference`` is the vendor's public documentation that it follows."""

    name: str
    title: str
    reference: str
    base_url: str
    auth: tuple[Auth, ...]
    actions: tuple[Action, ...]
    description: str = ""
    settings: dict[str, Setting] = msgspec.field(default_factory=dict)
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    idempotency_header: str | None = None
    errors: Errors = msgspec.field(default_factory=Errors)
    rate_limit: RateLimit = msgspec.field(default_factory=RateLimit)

    def find_action(self, key: str) -> Action | None:
        """The action called ``key``."""
        return next((action for action in self.actions if action.key == key), None)

    def find_auth(self, kind: str) -> Auth | None:
        """The way of that kind."""
        return next((auth for auth in self.auth if auth.kind == kind), None)


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector that can be used: ``id`` is the name of one that ships, which belongs to nobody."""

    id: str
    org_id: str | None
    definition: Definition
    created_at: int | None = None
    updated_at: int | None = None

    @property
    def name(self) -> str:
        """What workflows and credentials call it."""
        return self.definition.name


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a definition, or with what a request is to be made of; ``path`` is its place."""

    path: str
    message: str


def params_schema(action: Action) -> dict[str, Any]:
    """The JSON Schema of what an action takes: its documentation and its validation."""
    return {
        "type": "object",
        "properties": {name: _schema(parameter) for name, parameter in action.parameters.items()},
        "required": [name for name, parameter in action.parameters.items() if parameter.required],
        "additionalProperties": False,
    }


def _schema(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {} if parameter.type == "any" else {"type": parameter.type}
    for name in ("description", "minimum", "maximum", "default"):
        value = getattr(parameter, name)
        if value not in (None, ""):
            schema[name] = value
    if parameter.enum:
        schema["enum"] = list(parameter.enum)
    return schema


def value_at(document: Any, path: str) -> Any:
    """What stands at ``path`` (``a.b``, ``data.-1.id``) of an answer; None where nothing does."""
    value = document
    for part in path.split(".") if path else ():
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and re.fullmatch(r"-?[0-9]{1,6}", part):
            index = int(part)
            value = value[index] if -len(value) <= index < len(value) else None
        else:
            return None
    return value
