"""`alloyd dead-letter`: runs that failed for good."""

from __future__ import annotations

from typing import Final

import click

from alloyd.cli.client import Client, segment
from alloyd.cli.live.workflow import find_workflow_id, list_names
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import format_time, hint, print_json, print_table, say

STEM: Final = "/v1/dead-letters"

group = Group("dead-letter", help="Runs that failed for good.", example="alloyd dead-letter list --workflow hello")


@group.command("list", example="alloyd dead-letter list --workflow hello --limit 20")
@click.option("--workflow", help="Only runs of this workflow, by name or id.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many at most.")
@org_option
@json_option
@live()
async def list_dead_letters(client: Client, workflow: str | None, limit: int, as_json: bool) -> None:
    """List runs that failed and that nobody has dealt with, newest first."""
    workflow_id = None if workflow is None else await find_workflow_id(client, workflow)
    found = await client.list_pages(STEM, {"workflow_id": workflow_id}, limit)
    if as_json:
        print_json(found)
        return
    names = await list_names(client) if found else {}
    rows = [
        (
            run["id"],
            names.get(run["workflow_id"], run["workflow_id"]),
            format_time(run["ended_at"]),
            f"{run['error']['code']}: {run['error']['message']}" if run["error"] else "",
        )
        for run in found
    ]
    print_table(("ID", "WORKFLOW", "FAILED", "ERROR"), rows)


@group.command("requeue", example="alloyd dead-letter requeue 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11 --version latest")
@click.argument("run")
@click.option(
    "--version",
    type=click.Choice(["pinned", "latest"]),
    default="pinned",
    show_default=True,
    help="The run's own version of the workflow, or the newest.",
)
@org_option
@json_option
@live()
async def requeue_dead_letter(client: Client, run: str, version: str, as_json: bool) -> None:
    """Run it again from what failed; it leaves the list."""
    made = await client.post(f"{STEM}/{segment(run)}/requeue", {"version": version})
    if as_json:
        print_json(made)
        return
    say(f"run {made['id']} {made['status']}")
    if client.offline:
        hint("no daemon runs: the run begins when one is started")


@group.command("discard", example="alloyd dead-letter discard 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11")
@click.argument("run")
@org_option
@json_option
@live()
async def discard_dead_letter(client: Client, run: str, as_json: bool) -> None:
    """Take it off the list; the run stays as it is."""
    done = await client.post(f"{STEM}/{segment(run)}/discard")
    if as_json:
        print_json(done)
    else:
        say(f"dead letter {done['id']} is discarded")
