"""Options that every command takes, and how a command finds its configuration and data directory."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from alloyd.config import Config, load_config

F = TypeVar("F", bound=Callable[..., Any])

_META: Final = "alloyd.cli."
_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h|d)\Z")
_UNIT_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command works, as ``--config``, ``--data-dir`` and their variables say; None where they do not."""

    config_file: Path | None
    data_dir: str | None

    def load(self, flags: Mapping[str, Any] | None = None) -> Config:
        """The configuration with ``flags`` over it. Raises ConfigFaults with every fault there is."""
        return load_config(self.config_file, os.environ, {"data.dir": self.data_dir, **(flags or {})})


def current_place() -> Place:
    """The place of the command that runs."""
    meta = click.get_current_context().meta
    return Place(meta.get(f"{_META}config_file"), meta.get(f"{_META}data_dir"))


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is not None:
        ctx.meta[f"{_META}{param.name}"] = value


def _place_options(*, outermost: bool) -> list[click.Parameter]:
    """Before the command's name and behind it alike. Only the outermost reads the variables: a variable must not win
    over a flag that stands further to the left."""
    return [
        click.Option(
            ["--config", "config_file"],
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            envvar="ALLOYD_CONFIG" if outermost else None,
            expose_value=False,
            callback=_remember,
            help="Configuration file; or ALLOYD_CONFIG.",
        ),
        click.Option(
            ["--data-dir"],
            type=click.Path(file_okay=False),
            metavar="DIR",
            envvar="ALLOYD_DATA_DIR" if outermost else None,
            expose_value=False,
            callback=_remember,
            help="Data directory; or ALLOYD_DATA_DIR.",
        ),
    ]


class Command(click.Command):
    """A command with the common options; its help ends with ``example``, which none goes without."""

    def __init__(self, name: str | None, *, example: str, **attributes: Any) -> None:
        super().__init__(name, epilog=_epilog(example), **attributes)
        self.params += _place_options(outermost=False)


class Group(click.Group):
    """A group of commands, with the common options as well."""

    command_class = Command
    group_class = type

    def __init__(self, name: str | None = None, *, example: str, outermost: bool = False, **attributes: Any) -> None:
        super().__init__(name, epilog=_epilog(example), **attributes)
        self.params += _place_options(outermost=outermost)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are registered."""
        return list(self.commands)


def _epilog(example: str) -> str:
    lines = "\n".join(f"  {line}" for line in example.splitlines())
    return f"\b\nExample:\n{lines}"


def json_option(command: F) -> F:
    """``--json``: the API's own objects instead of text for people."""
    return click.option("--json", "as_json", is_flag=True, help="Print the API's objects as JSON.")(command)


def org_option(command: F) -> F:
    """``--org``: which organization a command works in."""
    return click.option(
        "--org", metavar="ORG", callback=check_org, help="Organization, by id or slug; else `default`, or the oldest."
    )(command)


def check_org(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """``value`` if it may stand in a header."""
    if value is not None and not (value.isascii() and value.isprintable() and value.strip()):
        raise click.BadParameter("an id or slug is wanted")
    return value


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.5 on
    """A length of time such as ``90d``, ``12h`` or ``30s``, as milliseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The milliseconds; fails the command when it is no duration."""
        if isinstance(value, int):
            return value
        match = _DURATION.match(value)
        if match is None:
            self.fail("a number and a unit are wanted: 30s, 15m, 12h or 90d", param, ctx)
        return int(match[1]) * _UNIT_MS[match[2]]


DURATION: Final = Duration()
