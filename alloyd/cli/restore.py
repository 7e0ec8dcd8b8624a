"""`alloyd restore`: a data directory out of a backup; the daemon must not run."""

from __future__ import annotations

from pathlib import Path

import click

from alloyd.cli.offline import COMMAND
from alloyd.cli.options import Command, current_place
from alloyd.cli.output import say
from alloyd.domain.backups.restoring import recover_cut_off_switch, restore_new, restore_over
from alloyd.kit.clock import Clock, rfc3339
from alloyd.process.datadir import DataDir


@click.command("restore", cls=Command, example="alloyd restore /var/backups/alloyd-monday.backup --data-dir ./data")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def command(file: Path) -> None:
    """Make the data directory what FILE holds. The daemon must not run.

    The backup is unpacked beside the data directory and checked, and only then put in its place; what was there
    before is kept beside it.
    """
    data_dir = DataDir(current_place().load().data.dir)
    root = data_dir.root
    recover_cut_off_switch(root)
    if root.is_dir() and any(root.iterdir()):
        with data_dir:
            data_dir.lock(COMMAND)
            restored = restore_over(file, root, Clock().now_ms())
        manifest, previous = restored.manifest, restored.previous
    else:
        root.parent.mkdir(parents=True, exist_ok=True)
        manifest, previous = restore_new(file, root), None
    say(f"restored {root} as of {rfc3339(manifest.created_at)}: {manifest.files} files")
    if previous is not None:
        say(f"what was there before is in {previous}")
