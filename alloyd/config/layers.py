"""Where settings come from beside the file: systemd credentials, the environment and flags."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from alloyd.config.faults import Fault
from alloyd.config.fields import Field
from alloyd.config.given import Given
from alloyd.config.yamltext import read_value

Fields = Mapping[str, Mapping[str, Field]]

PREFIX: Final = "ALLOYD_"
SECRET_BYTES_MAX: Final = 64 * 1024
FILE_SUFFIX: Final = "_file"
# These belong to the command line, which hands them on as flags.
_COMMAND_LINE: Final = frozenset({"ALLOYD_CONFIG", "ALLOYD_DATA_DIR"})


def from_environment(env: Mapping[str, str], fields: Fields) -> tuple[list[Given], list[Fault]]:
    """What variables such as ``ALLOYD_HTTP__PORT`` give; a name that only looks like one is a fault."""
    given: list[Given] = []
    faults: list[Fault] = []
    single = {
        f"{PREFIX}{group}_{name}".upper(): variable(group, name)
        for group in fields
        for name in fields[group]
        if "." not in group
    }
    for name in sorted(env):
        place = f"environment {name}"
        if name in _COMMAND_LINE or not name.startswith(PREFIX):
            continue
        group, double, key = _split(name, fields)
        if not double:
            if name in single:
                faults.append(Fault(place, None, "", f"did you mean {single[name]}, with two underscores?"))
            continue
        try:
            value = _environment_value(env[name], fields.get(group, {}).get(key))
        except ValueError as error:
            faults.append(Fault(place, None, f"{group}.{key}", str(error)))
        else:
            given.append(Given(group, key, value, place))
    return given, faults


def _split(name: str, fields: Fields) -> tuple[str, str, str]:
    """Group, double underscore and key; the group of an entry has its name: ``providers.openai``."""
    group, double, key = name.removeprefix(PREFIX).lower().partition("__")
    entry, inner, entry_key = key.partition("__")
    return (f"{group}.{entry}", inner, entry_key) if inner and f"{group}.{entry}" in fields else (group, double, key)


def variable(group: str, name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{group}__{name}".upper()


def _environment_value(raw: str, field: Field | None) -> Any:
    if field is None or field.takes_text:
        return raw
    return read_value(raw)


def from_credentials(env: Mapping[str, str], fields: Fields) -> tuple[list[Given], list[Fault]]:
    """Secrets that systemd put into ``$CREDENTIALS_DIRECTORY`` as ``<group>.<key>``; other files there are ignored."""
    folder = env.get("CREDENTIALS_DIRECTORY")
    given: list[Given] = []
    faults: list[Fault] = []
    if not folder:
        return given, faults
    for group, names in fields.items():
        for name, field in names.items():
            path = Path(folder) / f"{group}.{name}"
            if not field.secret or not os.path.lexists(path):
                continue
            place = f"credential {group}.{name}"
            try:
                given.append(Given(group, name, read_secret(path), place))
            except ValueError as error:
                faults.append(Fault(place, None, "", str(error)))
    return given, faults


def read_secret(path: Path) -> str:
    """The text of a secret's file without the line break at its end. Raises ValueError with what is wrong."""
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_BYTES_MAX + 1)
        text = content.decode()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    if len(content) > SECRET_BYTES_MAX:
        raise ValueError(f"{path} is larger than {SECRET_BYTES_MAX} bytes")
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"{path} is empty")
    return text


def from_flags(flags: Mapping[str, Any]) -> tuple[list[Given], list[Fault]]:
    """What the command line gives: ``{"http.port": 0}``; None means that the flag was not given."""
    given: list[Given] = []
    for dotted, value in flags.items():
        if value is None:
            continue
        group, _, name = dotted.rpartition(".")
        plain = os.fspath(value) if isinstance(value, os.PathLike) else value
        given.append(Given(group, name, list(plain) if isinstance(plain, tuple) else plain, f"flag {dotted}"))
    return given, []
