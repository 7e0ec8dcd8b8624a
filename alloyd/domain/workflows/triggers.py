"""What starts a workflow, as its definition says it: the kinds of triggers, and their checks."""

from __future__ import annotations

import re
import unicodedata
from fnmatch import translate
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from alloyd.domain.workflows.model import Fault
from alloyd.kit.cron import Cron, CronError
from alloyd.kit.event_names import EVENT_CHARS_MAX, fault_of_listened
from alloyd.kit.expressions import ExpressionError, compile_expression
from alloyd.kit.paths import PATH_BYTES_MAX
from alloyd.kit.signatures import TOLERANCE_S, Scheme, fault_of_secret

SECRET_CHARS_MAX = 512  # as it is stored, sealed
TOLERANCE_S_MAX = 3600  # far below how long a receipt is remembered
SECRET_KEPT = "***"  # noqa: S105  # stands for the secret of the version before
MATCH_NAMES = frozenset({"event"})

Misfire = Literal["skip", "once", "all"]
FileChange = Literal["created", "updated", "deleted"]

# Consumers act on these no more: each would lead to the next one for ever.
_UNHEARD = ("workflow.trigger.",)


class ApiTrigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="api"):
    """Nothing but a request: which starts a workflow with any other trigger as well."""


class EventTrigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="event"):
    """An event of the organization, or of an end user who has installed it. ``match``: an expression over ``event``,
    or values its payload has to have."""

    event: Annotated[str, Meta(min_length=1, max_length=EVENT_CHARS_MAX)]
    match: str | dict[str, Any] | None = None


class ScheduleTrigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="schedule"):
    """A time."""

    cron: str
    timezone: str = "UTC"
    misfire: Misfire = "once"
    payload: dict[str, Any] = {}


class WebhookTrigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="webhook"):
    """A signed request of somebody else: ``scheme`` is whose way of signing, ``tolerance_s`` how far clocks differ."""

    secret: Annotated[str, Meta(min_length=1, max_length=SECRET_CHARS_MAX)]
    scheme: Scheme = "alloyd"
    tolerance_s: Annotated[int, Meta(ge=1, le=TOLERANCE_S_MAX)] = TOLERANCE_S


class StorageTrigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="storage"):
    """A change of a file. ``path``: a folder or file, or a pattern with ``*``, ``?`` and ``**``."""

    path: Annotated[str, Meta(min_length=1)] = "/"
    on: Annotated[tuple[FileChange, ...], Meta(min_length=1)] = ("created", "updated")


Trigger = ApiTrigger | EventTrigger | ScheduleTrigger | WebhookTrigger | StorageTrigger

_KINDS: dict[str, type[Trigger]] = {
    "api": ApiTrigger,
    "event": EventTrigger,
    "schedule": ScheduleTrigger,
    "webhook": WebhookTrigger,
    "storage": StorageTrigger,
}


def read_trigger(given: dict[str, Any] | None) -> tuple[Trigger, list[Fault]]:
    """The trigger of a definition, and all that is wrong with it, each with its place."""
    api = ApiTrigger()
    if given is None:
        return api, []
    kind = _KINDS.get(given["type"]) if isinstance(given.get("type"), str) else None
    if kind is None:
        return api, [Fault("trigger.type", f"one of {', '.join(_KINDS)} is wanted")]
    try:
        trigger: Trigger = msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        return api, [Fault(f"trigger{path.rstrip('`')}", f"{text[:1].lower()}{text[1:]}")]
    return trigger, list(_check(trigger))


def _check(trigger: Trigger) -> list[Fault]:
    if isinstance(trigger, EventTrigger):
        return _check_event(trigger)
    if isinstance(trigger, StorageTrigger):
        try:
            PathPattern(trigger.path)
        except ValueError as error:
            return [Fault("trigger.path", str(error))]
    if isinstance(trigger, WebhookTrigger) and trigger.secret != SECRET_KEPT:
        fault = fault_of_secret(trigger.scheme, trigger.secret)
        if "{{" in trigger.secret:
            fault = "a text is wanted: nothing is known yet that an expression could read"
        return [] if fault is None else [Fault("trigger.secret", fault)]
    if isinstance(trigger, ScheduleTrigger):
        try:
            Cron(trigger.cron, trigger.timezone)
        except CronError as error:
            return [Fault(f"trigger.{error.field}", str(error))]
    return []


def _check_event(trigger: EventTrigger) -> list[Fault]:
    faults = []
    fault = fault_of_listened(trigger.event)
    if fault is not None:
        faults.append(Fault("trigger.event", fault))
    elif trigger.event.startswith(_UNHEARD):
        faults.append(Fault("trigger.event", "what triggers say of themselves starts nothing"))
    if isinstance(trigger.match, str):
        try:
            names = compile_expression(trigger.match, "match").names
        except ExpressionError as error:
            told = error.message if error.column is None else f"column {error.column}: {error.message}"
            return [*faults, Fault("trigger.match", told)]
        faults.extend(
            Fault("trigger.match", f"there is no name {name!r} here; only event is known")
            for name in sorted(names - MATCH_NAMES)
        )
    return faults


def is_heard(kind: str) -> bool:
    """Whether events of ``kind`` may start anything."""
    return not kind.startswith(_UNHEARD)


class PathPattern:
    """Which files a storage trigger means.

    Without a wildcard: the path itself and all that lies below it. ``*`` and ``?`` stay within a name, ``**`` stands
    for any number of whole names. Takes time in proportion to pattern times path, whatever they are.
    """

    __slots__ = ("_fixed", "_names")

    def __init__(self, text: str) -> None:
        """Raises ValueError for what no path could be like."""
        text = unicodedata.normalize("NFC", text)
        if len(text.encode()) > PATH_BYTES_MAX:
            raise ValueError(f"at most {PATH_BYTES_MAX} bytes are wanted")
        names = text.strip("/").split("/") if text.strip("/") else []
        if any(name in ("", ".", "..") for name in names) or "\\" in text or not text.isprintable():
            raise ValueError("a path such as inbox or inbox/*.csv is wanted, without . or .. and the like")
        if any("**" in name and name != "**" for name in names):
            raise ValueError("** has to stand alone between slashes")
        self._fixed = None if any(sign in text for sign in "*?") else "/".join(names)
        # None is **. What fnmatch makes of * does not go back and forth.
        self._names = [None if name == "**" else re.compile(translate(name.replace("[", "[[]"))) for name in names]

    def matches(self, path: str) -> bool:
        """Whether the canonical ``path`` is meant."""
        if self._fixed is not None:
            return not self._fixed or path == self._fixed or path.startswith(f"{self._fixed}/")
        places = self._past_stars({0})
        for name in path.split("/"):
            reached = set()
            for place in places:
                wanted = self._names[place] if place < len(self._names) else _NOTHING
                if wanted is None:
                    reached.add(place)
                elif wanted.match(name):
                    reached.add(place + 1)
            places = self._past_stars(reached)
        return len(self._names) in places

    def _past_stars(self, places: set[int]) -> set[int]:
        found = set(places)
        for place in sorted(places):
            beyond = place
            while beyond < len(self._names) and self._names[beyond] is None:
                beyond += 1
                found.add(beyond)
        return found


_NOTHING = re.compile(r"(?!)")
