"""`alloyd status`: what runs, and how full it is."""

from __future__ import annotations

from typing import Any

import click

from alloyd.cli.client import Client
from alloyd.cli.offline import live
from alloyd.cli.options import Command, json_option
from alloyd.cli.output import print_fields, print_json


@click.command("status", cls=Command, example="alloyd status --json")
@json_option
@live(needs_daemon=True)
async def command(client: Client, as_json: bool) -> None:
    """Show what runs and how full it is; needs the daemon."""
    status = await client.get("/operator/status")
    if as_json:
        print_json(status)
    else:
        print_fields(flatten(status))


def flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as one, with dotted names."""
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            flat |= flatten(inner, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = ", ".join(map(str, inner)) if isinstance(inner, list) else inner
    return flat
