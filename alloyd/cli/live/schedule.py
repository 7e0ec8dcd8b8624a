"""`alloyd schedule`: workflows that are started by the clock."""

from __future__ import annotations

from typing import Any, Final

import click
import msgspec

from alloyd.cli.client import Client, segment
from alloyd.cli.live.run import read_input
from alloyd.cli.live.workflow import find_workflow_id, list_names
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import confirm, format_time, hint, print_fields, print_json, print_table, say, to_json

STEM: Final = "/v1/schedules"
_ID: Final = "0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11"
_MISFIRES: Final = ("skip", "once", "all")
_MISFIRE_HELP: Final = "What to do about times that passed while no daemon ran."

group = Group("schedule", help="Schedules.", example="alloyd schedule create hello --cron '0 9 * * 1-5'")

_schedule = click.argument("schedule", metavar="ID")


@group.command(
    "create", example="alloyd schedule create hello --cron '0 9 * * 1-5' --timezone Europe/Berlin --org acme"
)
@click.argument("workflow")
@click.option("--cron", required=True, help="Minute, hour, day of month, month, day of week; or @daily and the like.")
@click.option("--timezone", default="UTC", show_default=True, help="Whose clocks it goes by, such as Europe/Berlin.")
@click.option("--name", help="What it is for; else the workflow's name.")
@click.option("--misfire", type=click.Choice(_MISFIRES), default="once", show_default=True, help=_MISFIRE_HELP)
@click.option("--input", "given", default="{}", help="A JSON object for the workflow; @FILE or - reads it.")
@click.option("--paused", is_flag=True, help="Not to fire until it is resumed.")
@org_option
@json_option
@live()
async def create_schedule(
    client: Client, workflow: str, given: str, paused: bool, as_json: bool, **fields: Any
) -> None:
    """Start a workflow, by name or id, at the times of a cron expression."""
    body = {
        "workflow_id": await find_workflow_id(client, workflow),
        "payload": msgspec.Raw(read_input(given)),
        "enabled": not paused,
        **{name: value for name, value in fields.items() if value is not None},
    }
    _tell(await client.post(STEM, body), as_json)


@group.command("list", example="alloyd schedule list --workflow hello --org acme")
@click.option("--workflow", help="Only those of this workflow, by name or id.")
@org_option
@json_option
@live()
async def list_schedules(client: Client, workflow: str | None, as_json: bool) -> None:
    """List schedules, newest first."""
    workflow_id = None if workflow is None else await find_workflow_id(client, workflow)
    found = await client.list_pages(STEM, {"workflow_id": workflow_id})
    if as_json:
        print_json(found)
        return
    names = await list_names(client) if found else {}
    rows = [
        (
            one["id"],
            one["name"],
            names.get(one["workflow_id"], one["workflow_id"]),
            one["cron"],
            one["timezone"],
            _state(one),
            format_time(one["next_fire_at"]),
            format_time(one["last_fire_at"]),
        )
        for one in found
    ]
    print_table(("ID", "NAME", "WORKFLOW", "CRON", "TIME ZONE", "STATE", "NEXT", "LAST"), rows)


@group.command("show", example=f"alloyd schedule show {_ID} --next 10")
@_schedule
@click.option("--next", "count", type=click.IntRange(1, 100), default=5, show_default=True, help="Times to show.")
@org_option
@json_option
@live()
async def show_schedule(client: Client, schedule: str, count: int, as_json: bool) -> None:
    """Show one schedule by its id, with its next times."""
    found = await client.get(f"{STEM}/{segment(schedule)}")
    times = await client.get(f"{STEM}/{segment(schedule)}/next", {"count": count})
    if as_json:
        print_json({**found, "next": times})
        return
    print_fields({**found, "payload": to_json(found["payload"], indent=None)})
    say()
    print_table(("NEXT", "THERE"), [(format_time(one["at"]), one["local"]) for one in times])


@group.command("update", example=f"alloyd schedule update {_ID} --cron '0 10 * * *'")
@_schedule
@click.option("--cron", help="Other times.")
@click.option("--timezone", help="Other clocks.")
@click.option("--name", help="Another name.")
@click.option("--misfire", type=click.Choice(_MISFIRES), help=_MISFIRE_HELP)
@click.option("--input", "given", help="Another JSON object for the workflow; @FILE or - reads it.")
@org_option
@json_option
@live()
async def update_schedule(client: Client, schedule: str, given: str | None, as_json: bool, **fields: Any) -> None:
    """Change a schedule; what is not named stays."""
    body = {name: value for name, value in fields.items() if value is not None}
    if given is not None:
        body["payload"] = msgspec.Raw(read_input(given))
    if not body:
        raise click.UsageError("nothing to change: give --cron, --timezone, --name, --misfire or --input")
    _tell(await client.patch(f"{STEM}/{segment(schedule)}", body), as_json)


@group.command("pause", example=f"alloyd schedule pause {_ID}")
@_schedule
@org_option
@json_option
@live()
async def pause_schedule(client: Client, schedule: str, as_json: bool) -> None:
    """Let a schedule start nothing until it is resumed."""
    _tell(await client.post(f"{STEM}/{segment(schedule)}/pause"), as_json)


@group.command("resume", example=f"alloyd schedule resume {_ID}")
@_schedule
@org_option
@json_option
@live()
async def resume_schedule(client: Client, schedule: str, as_json: bool) -> None:
    """Let a paused schedule go on from now; what fell into the pause is not made up for."""
    _tell(await client.post(f"{STEM}/{segment(schedule)}/resume"), as_json)


@group.command("run", example=f"alloyd schedule run {_ID}")
@_schedule
@org_option
@json_option
@live()
async def run_schedule(client: Client, schedule: str, as_json: bool) -> None:
    """Start a run now, out of turn; the run's id, alone on stdout."""
    started = await client.post(f"{STEM}/{segment(schedule)}/run")
    if as_json:
        print_json(started)
    else:
        say(started["run_id"])
    if client.offline:
        hint("no daemon runs: the run begins when one is started")


@group.command("delete", example=f"alloyd schedule delete {_ID} --yes")
@_schedule
@click.option("--yes", is_flag=True, help="Do not ask.")
@org_option
@json_option
@live()
async def delete_schedule(client: Client, schedule: str, yes: bool, as_json: bool) -> None:
    """Delete a schedule."""
    confirm(f"Delete the schedule {schedule}?", yes=yes)
    deleted = await client.delete(f"{STEM}/{segment(schedule)}")
    if as_json:
        print_json(deleted)
    else:
        say(f"{schedule} is deleted")


def _state(schedule: Any) -> str:
    return "paused" if not schedule["enabled"] else "never again" if schedule["next_fire_at"] is None else "enabled"


def _tell(schedule: Any, as_json: bool) -> None:
    if as_json:
        print_json(schedule)
    else:
        due = format_time(schedule["next_fire_at"])
        say(f"{schedule['id']} ({schedule['name']}): {_state(schedule)}" + (f", next at {due}" if due else ""))
