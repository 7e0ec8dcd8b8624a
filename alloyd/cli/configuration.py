"""`alloyd config`: whether the configuration is sound, and what is in force."""

from __future__ import annotations

from alloyd.cli.options import Group, current_place, json_option
from alloyd.cli.output import print_json, print_table, say, to_json
from alloyd.config import effective

group = Group("config", help="Configuration.", example="alloyd config check --config /etc/alloyd/config.yaml")


@group.command("check", example="alloyd config check --config /etc/alloyd/config.yaml")
def check() -> None:
    """Check file, environment and flags: one line a fault, with file, line, key and what is wanted."""
    place = current_place()
    place.load()
    say(f"{place.config_file or 'the configuration'}: no fault")


@group.command("show", example="alloyd config show --config /etc/alloyd/config.yaml --json")
@json_option
def show(as_json: bool) -> None:
    """Show every setting in force and where it comes from; secrets are masked."""
    settings = effective(current_place().load())
    if as_json:
        print_json(settings)
        return
    rows = [
        (f"{name}.{key}", to_json(one["value"], indent=None), one["source"])
        for name, keys in settings.items()
        for key, one in keys.items()
    ]
    print_table(("SETTING", "VALUE", "FROM"), rows)
