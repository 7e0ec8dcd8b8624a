"""``text.transform_basic``: a row of small changes to a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from alloyd.domain.operations.model import Config, Done, Fault, Operation, OperationError, StepContext

ACTIONS_MAX = 50
ITEMS_MAX = 100_000

Action = Literal[
    "trim",
    "upper",
    "lower",
    "title",
    "capitalize",
    "reverse",
    "normalize_whitespace",
    "slugify",
    "replace",
    "prefix",
    "suffix",
    "truncate",
    "split",
    "join",
]
Plain = Literal["trim", "upper", "lower", "title", "capitalize", "reverse", "normalize_whitespace", "slugify"]
Text = str | UnsetType
NotEmpty = Annotated[str, Meta(min_length=1)]
Length = Annotated[int, Meta(ge=0)]


class ActionConfig(Config, frozen=True):
    """One change with what it needs."""

    action: Annotated[Action, Meta(description="What is done.")]
    find: Annotated[NotEmpty | UnsetType, Meta(description="replace: the text that is replaced, everywhere.")] = UNSET
    with_: Annotated[Text, Meta(description="replace: what takes its place; nothing unless given.")] = field(
        name="with", default=UNSET
    )
    text: Annotated[Text, Meta(description="prefix, suffix: what is put before or after.")] = UNSET
    separator: Annotated[Text, Meta(description="split, join: what stands between the parts.")] = UNSET
    length: Annotated[
        Length | UnsetType, Meta(description="truncate: how many characters are kept, the ending included.")
    ] = UNSET
    ending: Annotated[Text, Meta(description="truncate: how a text that was cut ends, such as `…`.")] = UNSET


class TextConfig(Config, frozen=True):
    """A text and what is done with it, in order."""

    text: Annotated[str, Meta(description="The text to change.")]
    actions: Annotated[
        list[Plain | ActionConfig],
        Meta(
            description="In order; a bare name where nothing more is needed. After `split` each further action works "
            "on each part, until `join`.",
            min_length=1,
            max_length=ACTIONS_MAX,
        ),
    ]


# What each action needs and may have besides its name.
_NEEDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "replace": (frozenset({"find"}), frozenset({"with"})),
    "prefix": (frozenset({"text"}), frozenset()),
    "suffix": (frozenset({"text"}), frozenset()),
    "truncate": (frozenset({"length"}), frozenset({"ending"})),
    "split": (frozenset({"separator"}), frozenset()),
    "join": (frozenset(), frozenset({"separator"})),
}
_NOTHING: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
_BLANKS = re.compile(r"\s+")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def compute(ctx: StepContext, config: TextConfig) -> Done:
    """``{text}``, or ``{items}`` when it ends split.

    Fails with ``too_large`` before a change would make more than the output may hold.
    """
    value: str | list[str] = config.text
    for index, given in enumerate(config.actions):
        place = f"actions[{index}]"
        action = ActionConfig(given) if isinstance(given, str) else given
        most = ctx.services.output_bytes_max
        if action.action == "split":
            value = _split(value, action, place)
        elif action.action == "join":
            value = _joined(value, action, place, most)
        elif isinstance(value, str):
            value = _changed(value, action, place, most)
        else:
            changed: list[str] = []
            left = most
            for part in value:
                changed.append(_changed(part, action, place, left))
                left -= len(changed[-1])
            value = changed
    return Done({"text": value} if isinstance(value, str) else {"items": value})


def check(config: Mapping[str, Any]) -> list[Fault]:
    """Each action has what it needs and nothing of another's."""
    actions = config.get("actions")
    faults: list[Fault] = []
    for index, given in enumerate(actions if isinstance(actions, list) else []):
        if not isinstance(given, Mapping) or given.get("action") not in Action.__args__:  # type: ignore[attr-defined]
            continue
        needed, allowed = _NEEDS.get(given["action"], _NOTHING)
        lacking = sorted(needed - given.keys())
        odd = sorted((given.keys() & _FIELDS) - needed - allowed)
        faults += [Fault(f"actions[{index}].{name}", f"{given['action']} needs it") for name in lacking]
        faults += [Fault(f"actions[{index}].{name}", f"does not go with {given['action']}") for name in odd]
    return faults


_FIELDS = frozenset(ActionConfig.__struct_encode_fields__) - {"action"}


def _split(value: str | list[str], action: ActionConfig, place: str) -> list[str]:
    if not isinstance(value, str):
        raise OperationError("bad_config", f"{place}: the text is split already", path=place)
    separator = _given(action.separator)
    parts = value.split(separator, ITEMS_MAX) if separator else list(value[: ITEMS_MAX + 1])
    if len(parts) > ITEMS_MAX:
        raise OperationError("too_large", f"{place}: gives more than {ITEMS_MAX} parts", path=place)
    return parts


def _joined(value: str | list[str], action: ActionConfig, place: str, most: int) -> str:
    if isinstance(value, str):
        raise OperationError("bad_config", f"{place}: join needs a split before it", path=place)
    separator = _given(action.separator)
    _check_size(sum(map(len, value)) + len(separator) * len(value), place, most)
    return separator.join(value)


def _changed(text: str, action: ActionConfig, place: str, most: int) -> str:
    simple = _SIMPLE.get(action.action)
    if simple is not None:
        changed = simple(text)
    elif action.action == "replace":
        find, put = _given(action.find), _given(action.with_)
        growth = max(len(put) - len(find), 0) * text.count(find)
        _check_size(len(text) + growth, place, most)
        changed = text.replace(find, put)
    elif action.action == "truncate":
        assert isinstance(action.length, int)
        changed = _truncated(text, action.length, _given(action.ending))
    else:
        added = _given(action.text)
        _check_size(len(text) + len(added), place, most)
        changed = added + text if action.action == "prefix" else text + added
    _check_size(len(changed), place, most)
    return changed


def _truncated(text: str, length: int, ending: str) -> str:
    if len(text) <= length:
        return text
    return text[: max(length - len(ending), 0)] + ending[:length]


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return _NOT_SLUG.sub("-", plain).strip("-")


def _check_size(chars: int, place: str, most: int) -> None:
    if chars > most:
        raise OperationError("too_large", f"{place}: makes a text of more than the allowed size", path=place)


def _given(text: Text) -> str:
    return "" if isinstance(text, UnsetType) else text


_SIMPLE: dict[str, Callable[[str], str]] = {
    "trim": str.strip,
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "capitalize": str.capitalize,
    "reverse": lambda text: text[::-1],
    "normalize_whitespace": lambda text: _BLANKS.sub(" ", text).strip(),
    "slugify": _slug,
}

OPERATION = Operation(
    name="text.transform_basic",
    config=TextConfig,
    summary="Changes a text by a row of simple actions. Output: {text}, or {items} when it ends split.",
    compute=compute,
    check=check,
)
