"""What ends a command otherwise than well, and the exit code of each."""

from __future__ import annotations

from typing import Any, Final

from alloyd.errors import Code

# Contract: the command line, exit codes.
DONE: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
NO_DAEMON: Final = 3
# As a shell tells them of any program: 128 and the number of SIGINT, of SIGPIPE.
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141


class Refused(Exception):  # noqa: N818 - a refusal is an answer
    """The command was understood and not done. ``details`` are faults with their places, one line each."""

    def __init__(self, code: str, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


class NoDaemon(Exception):  # noqa: N818 - named for what is missing
    """The command needs a running daemon, and there is none that answers."""


class Unsuccessful(Exception):  # noqa: N818 - the command itself did well
    """Exit code 1 after the command has said why: a failed run, a failed check."""


class ReaderGone(Exception):  # noqa: N818 - no fault of anybody's
    """Whoever read stdout has enough, as ``head`` has."""


def refused(code: Code, message: str) -> Refused:
    """A refusal by the command line itself."""
    return Refused(code.value, message)
