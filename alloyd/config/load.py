"""Puts a configuration together: defaults, file, credentials, environment, flags; later ones win."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from alloyd.config import entries
from alloyd.config.contradictions import contradictions
from alloyd.config.faults import ConfigFaults, Fault
from alloyd.config.fields import Field, fields_of, maps_of
from alloyd.config.given import Given
from alloyd.config.layers import (
    FILE_SUFFIX,
    PREFIX,
    Fields,
    from_credentials,
    from_environment,
    from_flags,
    read_secret,
)
from alloyd.config.model import Config
from alloyd.config.secret import Secret
from alloyd.config.yamltext import FILE_BYTES_MAX, WHOLE, read_settings

_SHOWN_CHARS_MAX: Final = 60


def load_config(file: Path | None, env: Mapping[str, str], flags: Mapping[str, Any]) -> Config:
    """The configuration from ``file`` (None: no file), ``env`` and ``flags`` (``{"http.port": 0}``).

    A file that is named has to exist. Raises ConfigFaults with every fault there is. Contract: the
    command line, configuration.
    """
    faults: list[Fault] = []
    values: dict[str, Any] = {}
    given: dict[str, Given] = {}
    in_file = _from_file(file, fields_of(Config))
    names = _entry_names(in_file[0], env)
    usual = [] if names else entries.usual_variables(env)
    names |= {one.group for one in usual}
    fields = entries.known_fields(names)
    layers: tuple[tuple[list[Given], list[Fault]], ...] = (
        (usual, []),
        in_file,
        from_credentials(env, fields),
        from_environment(env, fields),
        from_flags(flags),
    )
    for layer, layer_faults in layers:
        own = list(layer_faults)
        for one in _resolved(layer, fields, own):
            given[one.key] = one
            # A value that a later layer overrides is checked as well: it would come back with the flag gone.
            try:
                values[one.key] = _converted(one.value, fields[one.group][one.name])
            except ValueError as error:
                values.pop(one.key, None)
                own.append(one.fault(str(error)))
        faults += sorted(own, key=lambda fault: (fault.line or 0, fault.place))
    config = _built(fields, values, {key: one.source for key, one in given.items()})
    faults += _contradicting(config, given, values)
    if faults:
        raise ConfigFaults(faults)
    return config


def _entry_names(in_file: Iterable[Given], env: Mapping[str, str]) -> set[str]:
    """The entries, such as ``providers.openai``, that somebody gave; not those whose names can't be."""
    named = {one.group for one in in_file if "." in one.group}
    named |= entries.named_in_environment(env, PREFIX) | entries.named_in_credentials(env)
    return {name for name in named - entries.RESERVED if entries.NAME.match(name.partition(".")[2])}


def _from_file(file: Path | None, fields: Fields) -> tuple[list[Given], list[Fault]]:
    if file is None:
        return [], []
    try:
        with file.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        return [], [Fault(str(file), None, "", f"cannot be read: {error.strerror}")]
    return read_settings(content, str(file), fields, maps_of(Config))


def _resolved(layer: Iterable[Given], fields: Fields, faults: list[Fault]) -> list[Given]:
    """The known settings of a layer, with each ``<secret>_file`` replaced by what the file holds."""
    resolved: dict[str, Given] = {}
    for one in layer:
        if "." in one.group and not one.name:  # an entry by itself
            if one.group in entries.RESERVED:
                faults.append(one.fault(entries.RESERVED_WANTED))
            elif one.group not in fields:
                faults.append(one.fault(entries.NAME_WANTED))
            continue
        if "." in one.group and one.group not in fields:
            continue  # the name itself is the fault
        known = one
        named = one.name.removesuffix(FILE_SUFFIX)
        if one.name not in fields.get(one.group, {}):
            target = fields.get(one.group, {}).get(named)
            if named == one.name or target is None or not target.secret:
                faults.append(one.fault(_unknown(one, fields)))
                continue
            try:
                known = _from_secret_file(one, named)
            except ValueError as error:
                faults.append(one.fault(str(error)))
                continue
        if known.key in resolved:
            faults.append(one.fault(f"give either {known.name} or {known.name}{FILE_SUFFIX}, not both"))
            continue
        resolved[known.key] = known
    return list(resolved.values())


def _from_secret_file(one: Given, name: str) -> Given:
    if not isinstance(one.value, str) or not one.value:
        raise ValueError("wanted the path of a file")
    return Given(one.group, name, read_secret(Path(one.value)), one.place, one.line)


def _unknown(one: Given, fields: Fields) -> str:
    group = fields.get(one.group)
    if group is None:
        near = difflib.get_close_matches(one.group, fields, n=1) or _homes(one.group, fields)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(fields)}"
        return f"no such group of settings; {hint}"
    near = difflib.get_close_matches(one.name, group, n=1) or _homes(one.name, fields)
    hint = f"did you mean {near[0]}?" if near else f"{one.group} has {', '.join(group)}"
    return f"no such setting; {hint}"


def _homes(name: str, fields: Fields) -> list[str]:
    """Where a setting of this name does exist."""
    return [names[name].key for names in fields.values() if name in names]


def _converted(value: Any, field: Field) -> Any:
    """``value`` as the field's type. Raises ValueError with what is wanted; a secret's value is never in it."""
    if field.secret and value == "":
        return None
    try:
        converted = msgspec.convert(value, field.type, dec_hook=_secret)
    except msgspec.ValidationError as error:
        if field.shape:
            raise ValueError(f"wanted {field.wanted}; {_structured(str(error), field.name)}") from None
        got = "" if field.secret else f", got {_shown(value)}"
        hint = " (take the quotes off)" if _quoted_number(value, field) else ""
        raise ValueError(f"wanted {field.wanted}{got}{hint}") from None
    if field.rule is not None and converted is not None:
        for item in converted if field.is_list else (converted,):
            if (complaint := field.rule(item)) is not None:
                raise ValueError(f"wanted {complaint}, got {_shown(item)}")
    return converted


def _structured(words: str, name: str) -> str:
    """msgspec's words with the place in front: ``models[0].tier: expected `str`, got `int```."""
    what, _, path = words.partition(" - at `$")
    place = path.rstrip("`")
    return f"{name}{place}: {what[:1].lower()}{what[1:]}"


def _secret(_kind: type, value: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise msgspec.ValidationError("text")
    return Secret(value)


def _quoted_number(value: Any, field: Field) -> bool:
    return field.bounds is not None and isinstance(value, str) and WHOLE.match(value) is not None


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return "a list with something else in it" if value else "an empty list"
    if isinstance(value, dict):
        return "a mapping"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | int | float | bool) else repr(value)
    return text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}…"


def _built(fields: Fields, values: Mapping[str, Any], sources: Mapping[str, str]) -> Config:
    default = Config()
    built: dict[str, Any] = {}
    entries_built: dict[str, dict[str, Any]] = {group: {} for group in maps_of(Config)}
    for group, names in fields.items():
        changed = {name: values[field.key] for name, field in names.items() if field.key in values}
        held_by, _, entry = group.partition(".")
        if entry:
            entries_built[held_by][entry] = maps_of(Config)[held_by](**changed)
        else:
            built[group] = msgspec.structs.replace(getattr(default, group), **changed)
    built |= {group: MappingProxyType(made) for group, made in entries_built.items()}
    return Config(**built, sources=MappingProxyType(dict(sources)))


def _contradicting(config: Config, given: Mapping[str, Given], values: Mapping[str, Any]) -> list[Fault]:
    """Settings that cannot both hold, told at the first of them that somebody gave."""
    faults = []
    for keys, wanted in contradictions(config):
        # A value with a fault of its own was not taken, so the default stands there: say nothing about it.
        if any(key in given and key not in values for key in keys):
            continue
        place = next(given[key] for key in keys if key in given)
        faults.append(Fault(place.place, place.line, place.key, wanted))
    return faults
