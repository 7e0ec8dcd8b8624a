"""`alloyd completion`: what makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from alloyd.cli.options import Command
from alloyd.cli.output import say_raw

SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
VARIABLE = "_ALLOYD_COMPLETE"


@click.command("completion", cls=Command, example="source <(alloyd completion bash)")
@click.argument("shell", type=click.Choice(list(SHELLS)))
def command(shell: str) -> None:
    """Print the script that makes SHELL complete alloyd's commands and options."""
    program = click.get_current_context().find_root().command
    say_raw(SHELLS[shell](program, {}, "alloyd", VARIABLE).source() + "\n")
