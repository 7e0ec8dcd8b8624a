"""Makes alloyd/docs/cli.md from the commands' own help: ``python -m alloyd.cli.reference``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from alloyd.cli.main import PROGRAM, program

DOCS_FILE: Final = Path(__file__).resolve().parents[1] / "docs" / "cli.md"

_INTRODUCTION: Final = """\
# The command line

<!-- Made by `python -m alloyd.cli.reference`; a test compares it with the code. -->

`alloyd` is one program; the executable and `python -m alloyd` are the same. With a daemon, commands speak to it over
the socket in the data directory; without one they take the directory's lock and do the same work themselves.
`events tail`, `status` and watching a run that is under way need the daemon.

Every command takes, before its name or behind it:

| Option | Variable | Meaning |
|---|---|---|
| `--config FILE` | `ALLOYD_CONFIG` | configuration file |
| `--data-dir DIR` | `ALLOYD_DATA_DIR` | data directory; `./data` without |

With `--json` a command prints the same objects as the API's `data`. What a file, a name or an event holds is shown with
control characters written out, so that it can't steer a terminal.

| Exit code | Meaning |
|---|---|
| 0 | done |
| 1 | refused, with code and message on stderr; or a run failed, a check failed |
| 2 | wrong usage |
| 3 | the daemon is needed and does not run |
| 130 | interrupted by Ctrl-C |
| 141 | whoever read the output has closed it |
"""


def render() -> str:
    """The text of cli.md."""
    return _INTRODUCTION + "".join(_sections(program, PROGRAM))


def write_file() -> None:
    """Writes the file to its place in the source tree."""
    DOCS_FILE.write_text(render(), encoding="utf-8")


def _sections(group: click.Group, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        below = f"{path} {name}"
        if isinstance(command, click.Group):
            yield from _sections(command, below)
        else:
            yield _section(command, below)


def _section(command: click.Command, path: str) -> str:
    usage = " ".join([path, *_usage(command)])
    lines = [f"\n## {path}\n", f"    {usage}\n", *_paragraphs(command.help or "")]
    options = [param for param in command.params if isinstance(param, click.Option) and param.expose_value]
    if options:
        lines.append("| Option | Meaning |\n|---|---|")
        lines += [_option(option) for option in options]
        lines.append("")
    example = (command.epilog or "").partition("Example:\n")[2]
    lines += ["Example:\n", *(f"    {line.strip()}" for line in example.splitlines())]
    return "\n".join(lines) + "\n"


def _usage(command: click.Command) -> Iterator[str]:
    context = click.Context(command)
    for param in command.params:
        if isinstance(param, click.Argument):
            yield param.make_metavar(context)


def _paragraphs(text: str) -> list[str]:
    return [" ".join(paragraph.split()) + "\n" for paragraph in text.split("\n\n")]


def _option(option: click.Option) -> str:
    context = click.Context(click.Command("any"))
    metavar = "" if option.is_flag else f" {option.make_metavar(context)}"
    names = ", ".join(f"`{name}{metavar}`" for name in option.opts)
    notes = [option.help or ""]
    if option.required:
        notes.append("Required.")
    if option.show_default:
        notes.append(f"Default: {option.default}.")
    return f"| {names} | {' '.join(note for note in notes if note)} |"


if __name__ == "__main__":
    write_file()
