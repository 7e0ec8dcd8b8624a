"""The program `alloyd`: every command, and what becomes of what a command raises."""

from __future__ import annotations

import io
import os
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import click

from alloyd.cli import (
    bench,
    completion,
    configuration,
    docs,
    doctor,
    init,
    maintenance,
    restore,
    serve,
    setup_link,
    status,
    torture,
)
from alloyd.cli.errors import (
    DONE,
    INTERRUPTED,
    NO_DAEMON,
    PIPE_CLOSED,
    REFUSED,
    USAGE,
    NoDaemon,
    ReaderGone,
    Refused,
    Unsuccessful,
)
from alloyd.cli.live import (
    apply,
    asset,
    audit,
    backup,
    connector,
    credential,
    dead_letter,
    end_user,
    events,
    grant,
    install,
    integration,
    invitation,
    job,
    key,
    objects,
    org,
    provider,
    run,
    schedule,
    storage,
    team,
    teammate,
    token,
    usage,
    user,
    webhook,
    workflow,
)
from alloyd.cli.options import Command, Group, json_option
from alloyd.cli.output import hint, print_json, say
from alloyd.cli.version import version_line, versions
from alloyd.config import ConfigFaults
from alloyd.errors import AlloydError, Code
from alloyd.process import unpacked

PROGRAM = "alloyd"

program = Group(
    PROGRAM,
    outermost=True,
    help="A self-hosted automation appliance: files, durable workflows, keys and live events in one executable.",
    example="alloyd serve --data-dir ./data\nalloyd run start hello --wait",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


@click.command("version", cls=Command, example="alloyd version")
@json_option
def show_version(as_json: bool) -> None:
    """Say which version this is."""
    if as_json:
        print_json(versions())
    else:
        say(version_line())


# Every command there is, in the order in which help lists them.
COMMANDS: Sequence[click.Command] = (
    serve.command,
    init.command,
    setup_link.command,
    status.command,
    doctor.command,
    configuration.group,
    org.group,
    user.group,
    team.group,
    invitation.group,
    key.group,
    grant.group,
    token.group,
    workflow.group,
    schedule.group,
    teammate.group,
    webhook.group,
    connector.group,
    credential.group,
    integration.group,
    install.group,
    end_user.group,
    run.group,
    dead_letter.group,
    provider.group,
    job.group,
    usage.group,
    storage.group,
    asset.group,
    objects.group,
    events.group,
    audit.group,
    backup.command,
    restore.command,
    maintenance.command,
    apply.command,
    bench.command,
    torture.command,
    docs.command,
    completion.command,
    show_version,
)
for _command in COMMANDS:
    program.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Contract: the command line, exit codes."""
    unpacked.settle()
    _stand_in_for_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        _never_fail_to_encode(stream)
    try:
        return _run(arguments)
    except ReaderGone:
        # Python would complain once more when it closes stdout.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def _stand_in_for_closed_streams() -> None:
    """A caller may have closed them (``>&-``): what would go there goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # for the process's life


def _run(arguments: Sequence[str] | None) -> int:
    """The exit code of a command, and on stderr why it is not 0."""
    try:
        result = program.main(arguments, PROGRAM, standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as error:
        error.show(sys.stderr)
        return USAGE
    except Unsuccessful:
        return REFUSED
    except NoDaemon as error:
        hint(f"{PROGRAM}: {error}")
        return NO_DAEMON
    except Refused as error:
        _tell(error.code, error.message, error.details)
    except ConfigFaults as error:
        for fault in error.faults:
            hint(fault)
    except AlloydError as error:
        _tell(error.code.value, error.message if error.log is None else f"{error.message} ({error.log})", error.details)
    except (OSError, sqlite3.Error) as error:
        hint(f"{PROGRAM}: {Code.UNAVAILABLE}: {type(error).__name__}: {error}")
    else:
        return result if isinstance(result, int) else DONE
    return REFUSED


def _tell(code: str, message: str, details: Any) -> None:
    hint(f"{PROGRAM}: {code}: {message}")
    for fault in details if isinstance(details, list) else ():
        if isinstance(fault, dict) and "path" in fault:
            hint(f"  {fault['path']}: {fault.get('message')}")


def _never_fail_to_encode(stream: TextIO) -> None:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
