"""`alloyd migrate`: the database brought to this program's schema without starting the daemon."""

from __future__ import annotations

import click

from alloyd.cli.errors import refused
from alloyd.cli.offline import COMMAND
from alloyd.cli.options import Command, current_place
from alloyd.cli.output import say
from alloyd.db.migrate import SCHEMA_VERSION, MigrationPlan, migrate, plan
from alloyd.domain.backups.before_migration import back_up_before_migration
from alloyd.errors import Code
from alloyd.kit.clock import Clock
from alloyd.process.datadir import DataDir


@click.command("migrate", cls=Command, example="alloyd migrate --dry-run")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
def command(dry_run: bool) -> None:
    """Bring the database to this program's schema; `serve` does it as well. A copy is made before; a newer
    schema is refused."""
    with DataDir(current_place().load().data.dir) as data_dir:
        if not data_dir.database.exists():
            raise refused(Code.NOT_FOUND, f"there is no database in {data_dir.root}")
        if dry_run:
            _tell("would apply", plan(data_dir.database))
            return
        data_dir.prepare()
        data_dir.lock(COMMAND)
        copy = back_up_before_migration(data_dir.database, data_dir.backups, Clock().now_ms())
        if copy is not None:
            say(f"copied the database to {copy}")
        _tell("applied", migrate(data_dir.database))


def _tell(did: str, todo: MigrationPlan) -> None:
    if not todo.files:
        say(f"the database has schema {SCHEMA_VERSION}, which is this program's; nothing to do")
    for name in todo.files:
        say(f"{did} {name}")
