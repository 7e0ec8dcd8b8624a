"""What is in force: values with their sources, secrets masked."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from alloyd.config.entries import fields_in, value_in
from alloyd.config.model import Config
from alloyd.config.secret import MASK, Secret

DEFAULT_SOURCE: Final = "default"


def masked(config: Config) -> dict[str, dict[str, Any]]:
    """The values by group and name, as JSON types; a secret that is set shows as ``***``."""
    return {
        group: {name: _plain(value_in(config, field)) for name, field in names.items()}
        for group, names in fields_in(config).items()
    }


def effective(config: Config) -> dict[str, dict[str, dict[str, Any]]]:
    """As :func:`masked`, each value as ``{"value": …, "source": "default" | file:line | environment NAME | …}``."""
    return {
        group: {
            name: {"value": value, "source": config.sources.get(f"{group}.{name}", DEFAULT_SOURCE)}
            for name, value in names.items()
        }
        for group, names in masked(config).items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return MASK
    return list(msgspec.to_builtins(value)) if isinstance(value, tuple) else value
