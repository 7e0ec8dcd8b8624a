"""The connectors that ship: YAML files beside this one, named in a visible list."""

from __future__ import annotations

from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

import yaml

from alloyd.domain.connectors.checking import read_definition
from alloyd.domain.connectors.model import Connector

NAMES: Final = (
    "slack",
    "github",
    "shopify",
    "hubspot",
    "stripe",
    "notion",
    "airtable",
    "discord",
    "twilio",
    "sendgrid",
    "http",
)


@cache
def shipped() -> MappingProxyType[str, Connector]:
    """Every connector that ships, by its name."""
    return MappingProxyType({name: _load(name) for name in NAMES})


def find_shipped(name: str) -> Connector | None:
    """The one of that name."""
    return shipped().get(name)


def _load(name: str) -> Connector:
    text = (resources.files(__package__) / "data" / f"{name}.yaml").read_text(encoding="utf-8")
    return Connector(name, None, read_definition(yaml.safe_load(text)))
