"""How a setting is declared: type, range, unit and meaning beside the field, read back here for all who need them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from alloyd.config.secret import Secret

Rule = Callable[[str], str | None]


def number(meaning: str, at_least: int, at_most: int, unit: str = "", *, live: bool = False) -> msgspec.Meta:
    """A whole number within bounds, in ``unit``; ``live`` when SIGHUP changes it without a restart."""
    return msgspec.Meta(ge=at_least, le=at_most, description=meaning, extra={"unit": unit, "live": live})


def text(meaning: str, *, live: bool = False) -> msgspec.Meta:
    """A text of at least one character."""
    return msgspec.Meta(min_length=1, description=meaning, extra={"live": live})


def text_or_none(meaning: str, *, live: bool = False, rule: Rule | None = None) -> msgspec.Meta:
    """A text, or None for none; ``rule`` says of a text None, or what is wanted instead."""
    return msgspec.Meta(description=meaning, extra={"live": live, "rule": rule})


def choice(meaning: str, *, live: bool = False) -> msgspec.Meta:
    """One of the words that the field's Literal lists."""
    return msgspec.Meta(description=meaning, extra={"live": live})


def flag(meaning: str, *, live: bool = False) -> msgspec.Meta:
    """True or false."""
    return msgspec.Meta(description=meaning, extra={"live": live})


def texts(meaning: str, rule: Rule, *, live: bool = False) -> msgspec.Meta:
    """A list of texts; ``rule`` says of each None, or what is wanted instead."""
    return msgspec.Meta(max_length=LIST_ITEMS_MAX, description=meaning, extra={"rule": rule, "live": live})


def structs(meaning: str, wanted: str, *, live: bool = False) -> msgspec.Meta:
    """A list of structs; ``wanted`` says what it looks like."""
    return msgspec.Meta(max_length=LIST_ITEMS_MAX, description=meaning, extra={"wanted": wanted, "live": live})


def secret(meaning: str, *, live: bool = False) -> msgspec.Meta:
    """A secret, which may also be given as ``<key>_file`` or as a systemd credential."""
    return msgspec.Meta(description=meaning, extra={"live": live})


LIST_ITEMS_MAX = 1000
"""The most entries a list in the configuration may have."""


@dataclass(frozen=True, slots=True)
class Field:
    """One setting as declared. ``unit`` is a plural noun or empty; ``type`` is what msgspec converts to."""

    group: str
    name: str
    type: Any
    default: Any
    meaning: str
    unit: str
    live: bool
    secret: bool
    rule: Rule | None
    bounds: tuple[int, int] | None
    choices: tuple[str, ...]
    is_list: bool
    shape: str = ""  # what a list of structs looks like

    @property
    def key(self) -> str:
        """``group.name``."""
        return f"{self.group}.{self.name}"

    @property
    def takes_text(self) -> bool:
        """Whether a value from the environment is taken as it stands, not read as YAML."""
        return self.bounds is None and not self.is_list and not isinstance(self.default, bool)

    @property
    def wanted(self) -> str:
        """What a value has to be, in words."""
        if self.bounds is not None:
            of = f" of {self.unit}" if self.unit else ""
            return f"a whole number{of} from {self.bounds[0]} to {self.bounds[1]}"
        if isinstance(self.default, bool):
            return "true or false"
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.shape:
            return self.shape
        if self.is_list:
            return f"a list of at most {LIST_ITEMS_MAX} texts, such as [first, second]"
        return "text, or null" if self.secret or self.default is None else "text of at least one character"


@cache
def fields_of(config: type[msgspec.Struct]) -> Mapping[str, Mapping[str, Field]]:
    """The declared settings of a configuration struct, by group and name, in the order of declaration."""
    groups: dict[str, Mapping[str, Field]] = {}
    for group, struct in get_type_hints(config).items():
        if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
            groups[group] = MappingProxyType(_group_fields(group, struct))
    return MappingProxyType(groups)


@cache
def maps_of(config: type[msgspec.Struct]) -> Mapping[str, type[msgspec.Struct]]:
    """The groups that hold entries by name, each with the struct of its entries."""
    found: dict[str, type[msgspec.Struct]] = {}
    for group, hint in get_type_hints(config).items():
        args = get_args(hint)
        if get_origin(hint) is Mapping and isinstance(args[1], type) and issubclass(args[1], msgspec.Struct):
            found[group] = args[1]
    return MappingProxyType(found)


def fields_of_entry(group: str, struct: type[msgspec.Struct]) -> Mapping[str, Field]:
    """The settings of one entry; ``group`` is its whole name, such as ``providers.openai``."""
    return MappingProxyType(_group_fields(group, struct))


def _group_fields(group: str, struct: type[msgspec.Struct]) -> dict[str, Field]:
    hints = get_type_hints(struct, include_extras=True)
    return {
        field.name: _field(group, field.name, hints[field.name], field.default)
        for field in msgspec.structs.fields(struct)
    }


def _field(group: str, name: str, hint: Any, default: Any) -> Field:
    kind, meta = get_args(hint)
    extra = meta.extra or {}
    return Field(
        group=group,
        name=name,
        type=hint,
        default=default,
        meaning=meta.description,
        unit=extra.get("unit", ""),
        live=extra["live"],
        secret=Secret in get_args(kind),
        rule=extra.get("rule"),
        bounds=None if meta.ge is None else (meta.ge, meta.le),
        choices=get_args(kind) if get_origin(kind) is Literal else (),
        is_list=get_origin(kind) is tuple,
        shape=extra.get("wanted", ""),
    )
