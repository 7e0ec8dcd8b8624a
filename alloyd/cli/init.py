"""`alloyd init`: data directory, configuration and owner key, without starting."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path

import click

from alloyd.cli.errors import refused
from alloyd.cli.offline import COMMAND, own_app
from alloyd.cli.options import Command, Place, current_place, json_option
from alloyd.cli.output import hint, print_json, say
from alloyd.config import Config
from alloyd.config.docs import render_example
from alloyd.domain.backups.restoring import recover_cut_off_switch
from alloyd.domain.keys.service import FirstKey
from alloyd.errors import Code
from alloyd.process.datadir import DataDir

PRIVATE_UMASK = 0o077
CONFIG_MODE = 0o600  # it may hold secrets


@click.command("init", cls=Command, example="alloyd init --config ./config.yaml --data-dir ./data")
@json_option
def command(as_json: bool) -> None:
    """Make the data directory, the organization `default` and its owner key, without starting.

    Where --config names a file that is missing, it is written with every setting and its default. The key is shown
    this once. On a directory that is initialised already nothing changes.
    """
    place = current_place()
    written = _write_config(place)
    if written is not None:
        hint(f"wrote {written}")
    config = place.load()
    os.umask(PRIVATE_UMASK)
    with DataDir(config.data.dir) as data_dir:
        recover_cut_off_switch(data_dir.root)
        for advice in data_dir.prepare():
            hint(advice)
        data_dir.lock(COMMAND)
        asyncio.run(_open_once(config, data_dir, as_json=as_json))


async def _open_once(config: Config, data_dir: DataDir, *, as_json: bool) -> None:
    async with own_app(config, data_dir, works=False, tells_first_key=False) as app:
        _tell(app.first_key, data_dir, as_json=as_json)
        if app.first_key is not None:
            await app.keys.note_first_key_told()


def _tell(first: FirstKey | None, data_dir: DataDir, *, as_json: bool) -> None:
    if as_json:
        made = None if first is None else {"organization_id": first.org.id, "key": first.issued.raw}
        print_json({"data_dir": str(data_dir.root), "created": first is not None, "owner": made})
    elif first is None:
        say(f"{data_dir.root} is initialised already; nothing changed")
    else:
        hint(f"initialised {data_dir.root} with the organization `{first.org.slug}` and the workflow `hello`")
        hint("The owner key is shown only this once; keep it. `alloyd serve` starts the daemon.")
        say(f"owner key: {first.issued.raw}")


def _write_config(place: Place) -> Path | None:
    """Write the file that ``--config`` names if it is missing, with the data directory that was given."""
    path = place.config_file
    if path is None:
        return None
    text = render_example()
    if place.data_dir is not None:
        given = json.dumps(str(Path(place.data_dir).absolute()))
        text = re.sub(r"^  dir: .*$", lambda _match: f"  dir: {given}", text, count=1, flags=re.MULTILINE)
    try:
        if path.exists():
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, CONFIG_MODE)
    except OSError as error:
        raise refused(Code.UNAVAILABLE, f"{path}: cannot be written: {error.strerror}") from None
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path
