"""`alloyd setup-link`: the page where the first user is made."""

from __future__ import annotations

import click

from alloyd.cli.client import Client
from alloyd.cli.offline import live
from alloyd.cli.options import Command, json_option
from alloyd.cli.output import hint, print_json, say


@click.command("setup-link", cls=Command, example="alloyd setup-link")
@json_option
@live(needs_daemon=True)
async def command(client: Client, as_json: bool) -> None:
    """Print a link with which a browser makes the first user; needs the daemon.

    Only while there is no user: `alloyd user create` makes others, `alloyd user passwd` gives back a lost password.
    """
    made = await client.post("/operator/setup-link", {})
    if as_json:
        print_json(made)
        return
    hint("it works once, for 24 hours; links that were printed before have ended")
    say(made["link"])
