"""What the fields of requests may hold, as named types: the description of the API tells clients what is checked.

Most rules are only told here. What enforces them are the checks of the domain, whose words name the field and say what
is wanted; a pattern's own refusal would show its expression.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

from alloyd.domain.authz.model import ID_CHARS_MAX
from alloyd.domain.keys.model import DESCRIPTION_CHARS_MAX as KEY_DESCRIPTION_CHARS_MAX
from alloyd.domain.orgs.model import NAME_CHARS_MAX, RESERVED_SLUGS, SLUG_PATTERN
from alloyd.domain.users.model import EMAIL_CHARS_MAX
from alloyd.domain.webhooks import model as webhooks
from alloyd.domain.workflows.releases import LABEL_CHARS_MAX
from alloyd.kit.signatures import SECRET_CHARS_MAX, SECRET_CHARS_MIN
from alloyd.kit.text import LINE_PATTERN, OPTIONAL_LINE_PATTERN
from alloyd.principal import ACTIONS, RESOURCES, SCOPES

TIME_CHARS_MAX: Final = 64
FILTER_CHARS_MAX: Final = 200


def told(**rules: Any) -> Meta:
    """Rules of JSON Schema that the description of the API has, and the domain enforces."""
    return Meta(extra_json_schema=rules)


def line(chars_max: int) -> Meta:
    """One line of text of 1 to ``chars_max`` characters."""
    return told(minLength=1, maxLength=chars_max, pattern=LINE_PATTERN)


Slug = Annotated[
    str,
    told(
        pattern=SLUG_PATTERN,
        description="Unique; 2 to 63 of a-z, 0-9 and inner hyphens, and nothing that looks like an id.",
        **{"not": {"enum": sorted(RESERVED_SLUGS)}},
    ),
]
Name = Annotated[str, line(NAME_CHARS_MAX)]
# Without one the thing gets the name of what it is made of.
NameOrNone = Annotated[str, told(maxLength=NAME_CHARS_MAX, pattern=OPTIONAL_LINE_PATTERN)]
Email = Annotated[str, told(format="email", maxLength=EMAIL_CHARS_MAX)]
IdempotencyKey = Annotated[
    str, told(pattern="^[!-~]{1,255}$", description="The same key with the same body takes effect once.")
]

# Times are texts here: what a time may look like is told and refused in the same words everywhere.
Time = Annotated[str, Meta(max_length=TIME_CHARS_MAX, extra_json_schema={"format": "date-time"})]
TimeOrDate = Annotated[
    str,
    Meta(
        max_length=TIME_CHARS_MAX,
        description="An RFC 3339 time, or a date.",
        extra_json_schema={"anyOf": [{"format": "date-time"}, {"format": "date"}]},
    ),
]
Cron = Annotated[
    str, told(format="cron", description="Five fields, or an alias such as @daily; due at least once in 50 years.")
]
TimeZone = Annotated[str, told(format="time-zone", description="A name of the IANA database, such as Europe/Berlin.")]
# Longer than a query may sensibly ask for.
Filter = Annotated[str, Meta(max_length=FILTER_CHARS_MAX)]

KeyDescription = Annotated[str, line(KEY_DESCRIPTION_CHARS_MAX)]
Scopes = Annotated[tuple[Annotated[str, told(enum=sorted(SCOPES))], ...], told(minItems=1)]

GrantedAction = Annotated[
    str,
    told(
        enum=sorted({*ACTIONS, *(f"{action.partition('.')[0]}.*" for action in ACTIONS)}),
        description="An action, or `<resource>.*` for all of a resource.",
    ),
]
GrantedResource = Annotated[
    str, told(pattern=rf"^(?:{'|'.join(sorted(RESOURCES))}):[!-~]{{1,{ID_CHARS_MAX}}}$", description="`<type>:<id>`.")
]
GrantedPrincipal = Annotated[
    str, told(pattern=rf"^(?:(?:user|api_key):)?[!-9;-~]{{1,{ID_CHARS_MAX}}}$", description="Whose role is refined.")
]
CheckedResource = Annotated[
    str, Meta(min_length=1, max_length=300, extra_json_schema={"pattern": rf"^[^:]{{1,99}}:[!-~]{{1,{ID_CHARS_MAX}}}$"})
]
CheckedId = Annotated[str, Meta(min_length=1, max_length=300, extra_json_schema={"pattern": LINE_PATTERN})]

Url = Annotated[
    str,
    told(
        format="uri",
        pattern="^[Hh][Tt][Tt][Pp][Ss]?://[^/?#]",
        maxLength=webhooks.URL_CHARS_MAX,
        description="An absolute http or https URL.",
    ),
]
WebhookDescription = Annotated[str, line(webhooks.DESCRIPTION_CHARS_MAX)]
EventPatterns = Annotated[
    list[Annotated[str, told(pattern=webhooks.KIND_PATTERN, maxLength=webhooks.PATTERN_CHARS_MAX)]],
    told(minItems=1, maxItems=webhooks.PATTERNS_MAX),
]
WebhookSecret = Annotated[
    str, told(format="password", pattern=rf"^[!-~][ -~]{{{SECRET_CHARS_MIN - 2},{SECRET_CHARS_MAX - 2}}}[!-~]$")
]
ReleaseLabel = Annotated[str, told(pattern=rf"^[A-Za-z0-9][A-Za-z0-9._+-]{{0,{LABEL_CHARS_MAX - 1}}}$")]

# What somebody says: something besides white space, and no NUL, which ends a text in many a program.
SAID_PATTERN: Final = r"^[^\x00]*[^\s\x00][^\x00]*$"

# A name in the storage: neither a slash nor a control character, and not of dots and spaces only.
_CHAR: Final = r"[^/\\\x00-\x1f\x7f-\x9f]"
_NAME: Final = rf"{_CHAR}*[^./\\\s\x00-\x1f\x7f-\x9f]{_CHAR}*"
FileName = Annotated[str, told(pattern=rf"^{_NAME}$", description="At most 255 bytes.")]
# An empty one counts as none.
FileNameOrNone = Annotated[str, told(pattern=rf"^(?:{_NAME})?$", description="At most 255 bytes.")]
StoragePath = Annotated[str, told(pattern=rf"^/?(?:{_NAME}(?:/{_NAME})*)?/?$", description="At most 4096 bytes.")]
BelowRoot = Annotated[str, told(pattern=rf"^/?{_NAME}(?:/{_NAME})*/?$", description="At most 4096 bytes.")]
