"""`alloyd audit`: who asked for what, and whether the record of it is whole."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, Final

import click

from alloyd.cli.client import Client, segment
from alloyd.cli.errors import Unsuccessful, refused
from alloyd.cli.offline import live
from alloyd.cli.options import DURATION, Group, check_org, current_place, json_option
from alloyd.cli.output import format_time, print_json, print_table, say
from alloyd.db.migrate import plan
from alloyd.domain.audit.model import OUTCOMES
from alloyd.domain.audit.verification import Known, Progress, verify_file
from alloyd.errors import Code
from alloyd.kit.clock import Clock, rfc3339
from alloyd.process.datadir import DataDir

LIMIT: Final = 100

_NOTED: Final = re.compile(r"([1-9][0-9]{0,17}):([0-9a-fA-F]{64})\Z")

group = Group("audit", help="The audit trail.", example="alloyd audit list --org acme --action 'api_key.*'")


@group.command("list", example="alloyd audit list --org acme --action 'api_key.*' --since 7d")
@click.option("--org", metavar="ORG", callback=check_org, help="Of one organization, by id or slug; else of all.")
@click.option("--actor", metavar="ID", help="Only what this user or key asked for.")
@click.option("--action", help="Only this action, or `team.*`.")
@click.option("--target", metavar="KIND:ID", help="Only what was done to this.")
@click.option("--outcome", type=click.Choice(OUTCOMES), help="Only what went so.")
@click.option("--since", type=DURATION, help="Only what is not older: 7d, 12h.")
@click.option("--limit", type=click.IntRange(1), default=LIMIT, show_default=True, help="At most so many rows.")
@json_option
@live()
async def list_rows(client: Client, since: int | None, limit: int, as_json: bool, **given: Any) -> None:
    """List what was asked for, newest first."""
    query = {
        **given,
        "from": None if since is None else rfc3339(Clock().now_ms() - since),
        "limit": min(limit, LIMIT),
    }
    found = await client.list_pages(await _path(client), query, limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            row["seq"],
            format_time(row["timestamp"]),
            " ".join(filter(None, (row["actor"]["kind"], row["actor"]["id"]))),
            row["action"],
            row["target"],
            row["outcome"] if row["count"] == 1 else f"{row['outcome']} x{row['count']}",
            row["ip"],
        )
        for row in found
    ]
    print_table(("SEQ", "TIME", "ACTOR", "ACTION", "TARGET", "OUTCOME", "IP"), rows)


async def _path(client: Client) -> str:
    if client.org is None:
        return "/v1/audit-logs"
    org = await client.get(f"/operator/organizations/{segment(client.org)}")
    return f"/v1/organizations/{org['id']}/audit-logs"


@group.command("verify", example="alloyd audit verify")
@click.option("--noted", metavar="SEQ:HASH", help="Also compare the row of that number; as an earlier check told it.")
@json_option
def verify(noted: str | None, as_json: bool) -> None:
    """Check every row of the audit trail: one that was changed, removed or put in is named, with exit code 1.

    Reads the database itself, beside a daemon or without one. The hashes hold no secret: who may write to the database
    can make the whole chain anew. Keep what this prints of the newest row somewhere else, and give it as --noted later.
    """
    known = _known(noted)
    data_dir = DataDir(current_place().load().data.dir)
    if not data_dir.database.exists():
        raise refused(Code.NOT_FOUND, f"there is no database in {data_dir.root}")
    if plan(data_dir.database).files:
        raise refused(Code.CONFLICT, "the database has an older schema: run `alloyd migrate` first")
    with ExitStack() as stack:
        progress = _bar(stack) if sys.stderr.isatty() else None
        verdict = verify_file(data_dir.database, known, progress)
    if as_json:
        print_json({"whole": verdict.reason is None, **asdict(verdict)})
    elif verdict.reason is not None:
        say(f"row {verdict.bad_seq}: {verdict.reason}; {verdict.checked} rows before it are whole")
    else:
        pruned = f", {verdict.pruned} older ones were deleted by retention" if verdict.pruned else ""
        say(f"{verdict.checked} rows are whole{pruned}")
        say(f"newest row  {verdict.last_seq}:{verdict.last_hash}")
    if verdict.reason is not None:
        raise Unsuccessful


def _known(noted: str | None) -> Known | None:
    if noted is None:
        return None
    match = _NOTED.match(noted)
    if match is None:
        raise click.BadParameter("a row's number, a colon and 64 hexadecimal digits are wanted", param_hint="--noted")
    return Known(int(match[1]), match[2])


def _bar(stack: ExitStack) -> Progress:
    bar = stack.enter_context(click.progressbar(length=1, label="checking", file=sys.stderr))

    def progress(done: int, whole: int) -> None:
        bar.length = max(whole, 1)
        bar.update(done - bar.pos)

    return progress
