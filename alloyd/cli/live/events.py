"""`alloyd events`: what happens, as it happens."""

from __future__ import annotations

from typing import Any

import click

from alloyd.cli.client import Client
from alloyd.cli.errors import NoDaemon
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import print_json_line, say, to_json

group = Group("events", help="Events.", example="alloyd events tail --kind 'workflow.*'")


def event_line(event: dict[str, Any]) -> str:
    """An event on one line: time, kind, step or subject, and its payload if it has one."""
    about = event.get("node_key") or event["subject"]
    payload = to_json(event["payload"], indent=None) if event["payload"] else ""
    return f"{event['timestamp'][11:23]}  {event['kind']}  {about}  {payload}".rstrip()


@group.command("tail", example="alloyd events tail --org acme --kind 'storage_file.*' --kind workflow.run.failed")
@click.option("--kind", "kinds", multiple=True, help="Only events of this kind, or `workflow.*`; may be repeated.")
@click.option("--after", metavar="ID", help="Begin behind the event of this id; else with what happens now.")
@org_option
@json_option
@live(needs_daemon=True)
async def tail_events(client: Client, kinds: tuple[str, ...], after: str | None, as_json: bool) -> None:
    """Follow an organization's events, a line each; needs the daemon."""
    async with client.events("/v1/events/stream", {"kinds": ",".join(kinds)}, after) as events:
        async for event in events:
            if as_json:
                print_json_line(event)
            else:
                say(event_line(event))
    raise NoDaemon("the daemon has stopped")
