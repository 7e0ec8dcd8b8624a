"""Takes exceptions that nobody caught, and warnings, into the log: Python would print them unredacted."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import Any, Final

from alloyd.log.pipe import get_logger

_log: Final = get_logger("alloyd")


def install_hooks() -> None:
    """Logs what nobody caught, in the program, its threads and its finalizers, and warnings. For the daemon."""
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    logging.captureWarnings(True)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    _log.error("uncaught exception", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: Any) -> None:
    if args.exc_type is not SystemExit:
        name = args.thread.name if args.thread else None
        _log.error("uncaught exception in a thread", thread=name, exc_info=(args.exc_type, args.exc_value, None))


def _unraisable(args: Any) -> None:
    _log.error(args.err_msg or "exception ignored", where=args.object, exc_info=(args.exc_type, args.exc_value, None))
