"""`alloyd doctor`: whether this machine, this data directory and this proxy are fit, and what to do where not."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

import click

from alloyd.cli.errors import Unsuccessful
from alloyd.cli.examination import CHECKS, Finding, State, Subject
from alloyd.cli.options import Command, current_place, json_option
from alloyd.cli.output import clean, print_json, say
from alloyd.cli.proxy import check_proxy
from alloyd.process.datadir import DataDir

_MARKS = {State.OK: "ok  ", State.ADVICE: "note", State.FAULT: "FAIL"}
_COLORS = {State.OK: "green", State.ADVICE: "yellow", State.FAULT: "red"}


@dataclass(frozen=True, slots=True)
class Examined:
    """A finding with the name of its check."""

    name: str
    finding: Finding

    def to_json(self) -> dict[str, str | None]:
        """As `--json` prints it."""
        found = self.finding
        return {"check": self.name, "state": found.state.value, "message": found.message, "advice": found.advice}


@click.command("doctor", cls=Command, example="alloyd doctor --url https://alloyd.example.com")
@click.option("--url", help="Also check the reverse proxy that serves this address; needs the daemon.")
@json_option
def command(url: str | None, as_json: bool) -> None:
    """Check versions, data directory, disk, database, clock, limits and proxy, each with what to do.

    Works beside a daemon and without one; exit code 1 when a check fails.
    """
    config = current_place().load()
    data_dir = DataDir(config.data.dir)
    subject = Subject(config, data_dir, data_dir.find_daemon() if data_dir.root.is_dir() else None)
    found = [Examined(name, check(subject)) for name, check in CHECKS]
    if url is not None:
        found += [Examined("proxy", one) for one in asyncio.run(check_proxy(url, subject))]
    if as_json:
        print_json([one.to_json() for one in found])
    else:
        for one in found:
            _tell(one)
    if any(one.finding.state is State.FAULT for one in found):
        raise Unsuccessful


def _tell(one: Examined) -> None:
    mark = _MARKS[one.finding.state]
    if sys.stdout.isatty():
        click.echo(click.style(mark, fg=_COLORS[one.finding.state]) + clean(f"  {one.name}: {one.finding.message}"))
    else:
        say(f"{mark}  {one.name}: {one.finding.message}")
    if one.finding.advice:
        say(f"      -> {one.finding.advice}")
