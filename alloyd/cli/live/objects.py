"""`alloyd objects`: the files of runs, and moving them between the disk and the bucket."""

from __future__ import annotations

from typing import Any, Final

import click

from alloyd.cli.client import Client
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import format_bytes, format_time, hint, print_json, print_table, say
from alloyd.cli.transfer import show_progress

STEM: Final = "/operator/objects"
# One step reads and writes some objects whole.
STEP_PATIENCE_S: Final = 3600.0
_OTHER: Final = {"local": "s3", "s3": "local"}

group = Group("objects", help="Files that go into and come out of runs.", example="alloyd objects usage")


@group.command("list", example="alloyd objects list --org acme")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many at most.")
@org_option
@json_option
@live()
async def list_objects(client: Client, limit: int, as_json: bool) -> None:
    """List an organization's objects, newest first. Who has a key may download the object."""
    found = await client.list_pages(STEM, None, limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            format_time(one["created_at"]),
            one["direction"],
            format_bytes(one["size_bytes"]),
            one["backend"],
            one["object_key"],
        )
        for one in found
    ]
    print_table(("CREATED", "DIRECTION", "SIZE", "WHERE", "KEY"), rows)


@group.command("usage", example="alloyd objects usage")
@json_option
@live()
async def show_usage(client: Client, as_json: bool) -> None:
    """Show how much lies on the disk and in the bucket, of all organizations."""
    places = await client.get(f"{STEM}/places")
    if as_json:
        print_json(places)
        return
    rows = [
        (name, "new ones" if places["backend"] == name else "", places[name]["files"], _size(places[name]))
        for name in ("local", "s3")
    ]
    print_table(("WHERE", "TAKES", "OBJECTS", "SIZE"), rows)


def _size(backend: dict[str, Any]) -> str:
    return format_bytes(backend["bytes"]) if backend["configured"] else "not configured"


@group.command("migrate", example="alloyd objects migrate --to s3")
@click.option("--to", required=True, type=click.Choice(["local", "s3"]), help="Where all objects are to lie.")
@json_option
@live()
async def migrate(client: Client, to: str, as_json: bool) -> None:
    """Move all objects to the disk or to the bucket, while everything goes on.

    Each is copied, compared with its SHA-256 and only then removed where it was. Interrupted, it goes on where it was.
    """
    there = (await client.get(f"{STEM}/places"))[_OTHER[to]]
    moved = total = 0
    damaged: list[str] = []
    after_id: str | None = ""
    try:
        with show_progress(f"to {to}", there["bytes"]) as meter:
            while after_id is not None:
                body = {"to": to, "after_id": after_id}
                step = await client.post(f"{STEM}/migrate", body, patience_s=STEP_PATIENCE_S)
                moved, total = moved + step["moved"], total + step["bytes"]
                damaged += step["damaged"]
                meter.advance(step["bytes"])
                after_id = step["next_id"]
    except BaseException:
        if moved or there["files"]:
            hint(f"stopped after {moved} objects or some more: the same command goes on where it was")
        raise
    if as_json:
        print_json({"moved": moved, "bytes": total, "damaged": damaged})
        return
    say(f"moved {moved} objects, {format_bytes(total)}")
    for object_id in damaged:
        hint(f"object {object_id} is damaged or missing where it lies, and stays there")
