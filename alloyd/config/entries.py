"""Groups of settings that hold entries by name, such as providers: which entries somebody gave, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from alloyd.config.fields import Field, fields_of, fields_of_entry, maps_of
from alloyd.config.given import Given
from alloyd.config.model import Config

NAME: Final = re.compile(r"[a-z](?:[a-z0-9-]|_(?!_)){0,31}\Z")
NAME_WANTED: Final = "wanted a name of at most 32 characters out of a-z, 0-9, - and _, beginning with a letter"
RESERVED: Final = frozenset({"providers.echo"})
RESERVED_WANTED: Final = "wanted another name: this one is always there, and takes no settings"
# What the vendors' own tools read. Only where no provider is configured: whoever configured some has chosen where
# texts may go.
_USUAL: Final = (
    ("OPENAI_API_KEY", "openai", "api_key"),
    ("OPENAI_BASE_URL", "openai", "base_url"),
    ("ANTHROPIC_API_KEY", "anthropic", "api_key"),
    ("ANTHROPIC_BASE_URL", "anthropic", "base_url"),
    ("OLLAMA_HOST", "ollama", "base_url"),
)
_KEYED: Final = ("openai", "anthropic")
_OLLAMA_PORT: Final = 11434


def known_fields(names: Iterable[str]) -> dict[str, Mapping[str, Field]]:
    """Every setting by group and name, those of the entries (``providers.openai``) in ``names`` among them."""
    maps = maps_of(Config)
    known = dict(fields_of(Config))
    known |= {name: fields_of_entry(name, maps[name.partition(".")[0]]) for name in sorted(names)}
    return known


def fields_in(config: Config) -> dict[str, Mapping[str, Field]]:
    """Every setting that ``config`` has."""
    return known_fields(f"{group}.{name}" for group in maps_of(Config) for name in getattr(config, group))


def value_in(config: Config, field: Field) -> Any:
    """The value of ``field``."""
    group, _, entry = field.group.partition(".")
    holder = getattr(config, group)
    return getattr(holder[entry] if entry else holder, field.name)


def named_in_environment(env: Mapping[str, str], prefix: str) -> set[str]:
    """The entries that variables such as ``ALLOYD_PROVIDERS__OPENAI__API_KEY`` are for."""
    found = set()
    for name in env:
        group, _, rest = name.removeprefix(prefix).lower().partition("__")
        entry, double, _key = rest.partition("__")
        if name.startswith(prefix) and group in maps_of(Config) and double and NAME.match(entry):
            found.add(f"{group}.{entry}")
    return found


def named_in_credentials(env: Mapping[str, str]) -> set[str]:
    """The entries that systemd credentials such as ``providers.openai.api_key`` are for."""
    folder = env.get("CREDENTIALS_DIRECTORY")
    if not folder or not Path(folder).is_dir():
        return set()
    split = (path.name.split(".") for path in Path(folder).iterdir())
    return {
        f"{parts[0]}.{parts[1]}"
        for parts in split
        if len(parts) == 3 and parts[0] in maps_of(Config) and NAME.match(parts[1])
    }


def usual_variables(env: Mapping[str, str]) -> list[Given]:
    """What the vendors' own variables give, for a configuration without providers.

    A base URL without its key is nobody's account, so it alone makes no provider.
    """
    given = [
        Given(f"providers.{entry}", name, _ollama_url(env[variable]) if entry == "ollama" else env[variable], place)
        for variable, entry, name in _USUAL
        if env.get(variable) and (place := f"environment {variable}")
    ]
    keyed = {one.group for one in given if one.name == "api_key"}
    given = [one for one in given if one.group in keyed or one.group.partition(".")[2] not in _KEYED]
    given += [Given(one.group, "free", True, one.place) for one in given if one.group == "providers.ollama"]
    return given


def _ollama_url(host: str) -> str:
    """``OLLAMA_HOST`` may be a host, with a port or without, or a URL; a server's 0.0.0.0 is reached on loopback."""
    scheme, _, rest = host.rpartition("://")
    rest = rest.rstrip("/")
    name, colon, port = rest.rpartition(":")
    if not colon or not port.isdigit():
        name, port = rest, str(443 if scheme == "https" else 80 if scheme else _OLLAMA_PORT)
    return f"{scheme or 'http'}://{'127.0.0.1' if name in ('', '0.0.0.0') else name}:{port}/v1"  # noqa: S104 # as a name
