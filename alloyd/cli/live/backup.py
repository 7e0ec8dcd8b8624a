"""`alloyd backup`: everything in one archive, while the daemon goes on."""

from __future__ import annotations

from typing import Final

import click

from alloyd.cli.client import Client
from alloyd.cli.offline import live
from alloyd.cli.options import Command, json_option
from alloyd.cli.output import format_bytes, hint, print_json, say

# Reading and writing everything there is takes as long as it takes.
PATIENCE_S: Final = 24 * 3600.0


@click.command("backup", cls=Command, example="alloyd backup --verify /var/backups/alloyd-monday.backup")
@click.argument("file", type=click.Path(dir_okay=False, resolve_path=True))
@click.option("--verify", is_flag=True, help="Read all of it again and check it.")
@json_option
@live()
async def command(client: Client, file: str, verify: bool, as_json: bool) -> None:
    """Write database, files and keys, as of now, to the new FILE.

    The daemon writes it, so its user needs the right to. Keep it as safe as the data itself.
    """
    body = {"path": file, "verify": verify}
    made = await client.post("/operator/backup", body, patience_s=PATIENCE_S)
    if as_json:
        print_json(made)
        return
    checked = ", read again and whole" if made["verified"] else ""
    say(f"{made['path']}: {format_bytes(made['size_bytes'])}, {made['files']} files{checked}")
    say(f"SHA-256 {made['sha256']}")
    if made["objects_elsewhere"]:
        hint(f"{made['objects_elsewhere']} objects lie in the object store, and are not in the backup")
    for blob_id in made["damaged"]:
        hint(f"content {blob_id} was damaged on the disk already, and is not in the backup")
