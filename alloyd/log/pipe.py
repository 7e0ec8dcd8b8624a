"""The one way of every log entry, structlog's and the standard library's: stamp, redact, render, write."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final, TextIO

import msgspec
import structlog

from alloyd.config.model import LogConfig
from alloyd.errors import AlloydError
from alloyd.kit.clock import Clock, rfc3339
from alloyd.log.redact import redact_fields

LEVELS: Final[Mapping[str, int]] = MappingProxyType(
    {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
)

Entry = MutableMapping[str, Any]

_NO_CONTEXT: Final[Mapping[str, str]] = MappingProxyType({})
_context: ContextVar[Mapping[str, str]] = ContextVar("alloyd_log_context", default=_NO_CONTEXT)
_clock: Final = Clock()
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


@contextmanager
def log_context(**values: str) -> Iterator[None]:
    """Puts ``values`` (request_id, trace_id, org_id, run_id) on every entry made inside the block."""
    token = _context.set({**_context.get(), **values})
    try:
        yield
    finally:
        _context.reset(token)


def bind_log_context(**values: str) -> None:
    """Puts ``values`` on every further entry of this task."""
    _context.set({**_context.get(), **values})


class Pipe:
    """Where entries go. ``threshold`` is the level below which nothing is made at all."""

    def __init__(self) -> None:
        self.threshold = logging.INFO
        self.processors: list[structlog.typing.Processor] = [stamp, redact_entry, render_json]
        self._stream: TextIO | None = None
        # Reentrant: writing may run the garbage collector, and a finalizer may log.
        self._lock = threading.RLock()

    def open(self, stream: TextIO | None, *, console: bool) -> None:
        """From here on entries go to ``stream`` (None: whatever stderr is), as JSON lines or for people."""
        self._stream = stream
        # In place, because loggers that exist hold the list.
        self.processors[:] = [stamp, redact_entry, _console(stream) if console else render_json]

    def write(self, line: str) -> None:
        """Writes one entry. A stream that is closed, full or gone must not stop the program: the entry is lost."""
        stream = self._stream or sys.stderr
        if stream is None:
            return
        with self._lock, suppress(OSError, ValueError):
            try:
                stream.write(f"{line}\n")
            except UnicodeEncodeError:
                stream.write(f"{_NOT_ASCII.sub(_escaped, line)}\n")
            stream.flush()


def _escaped(match: re.Match[str]) -> str:
    """As JSON escapes it, for the line may be JSON."""
    return json.dumps(match[0])[1:-1]


def stamp(logger: Any, level: str, entry: Entry) -> Entry:
    """Puts time, level, ``logger`` (its name) and event first, then the context and the fields, the exception last."""
    error = _exception_of(entry.pop("exc_info", None))
    stamped: dict[str, Any] = {
        "time": rfc3339(_clock.now_ms()),
        "level": level,
        "logger": logger,
        "event": entry.pop("event", ""),
        **_context.get(),
        **entry,
    }
    if error is not None:
        if isinstance(error, AlloydError):
            stamped["error_code"] = error.code.value
            stamped["error_log"] = error.log
        stamped["exception"] = "".join(traceback.format_exception(error)).rstrip()
    return stamped


def redact_entry(_logger: Any, _level: str, entry: Entry) -> Entry:
    """Takes secrets out of every field, the exception's text too, and out of the fields' names."""
    return redact_fields(entry)


def render_json(_logger: Any, _level: str, entry: Entry) -> str:
    """The entry as one line of JSON."""
    try:
        return msgspec.json.encode(entry).decode()
    except UnicodeEncodeError:
        # Half a surrogate pair, such as from a file name that is not UTF-8.
        return json.dumps(entry, ensure_ascii=True)


def _console(stream: TextIO | None) -> structlog.typing.Processor:
    colors = "NO_COLOR" not in os.environ and _is_terminal(stream)
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors,
        sort_keys=False,
        timestamp_key="time",
        exception_formatter=structlog.dev.plain_traceback,
    )

    def render(logger: Any, level: str, entry: Entry) -> str:
        # A value must neither steer the terminal nor fake an entry of its own.
        shown = {
            _printable(name): _printable(value, "\n" if name == "exception" else "") for name, value in entry.items()
        }
        return str(renderer(logger, level, shown))

    return render


def _is_terminal(stream: TextIO | None) -> bool:
    target = stream or sys.stderr
    return target is not None and not target.closed and target.isatty()


def _printable(value: Any, allowed: str = "") -> Any:
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(
        char if char.isprintable() or char in allowed else char.encode("unicode_escape").decode() for char in value
    )


def _exception_of(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        error = exc_info[1] if len(exc_info) > 1 else None
        return error if isinstance(error, BaseException) else None
    return sys.exc_info()[1] if exc_info else None


PIPE: Final = Pipe()


class Logger(structlog.BoundLoggerBase):
    """A logger with its own fields. Below the threshold a call does nothing but compare two numbers."""

    def debug(self, event: str, /, **fields: Any) -> None:
        """For the developer."""
        if PIPE.threshold <= logging.DEBUG:
            self._emit("debug", event, fields)

    def info(self, event: str, /, **fields: Any) -> None:
        """What happened, as planned."""
        if PIPE.threshold <= logging.INFO:
            self._emit("info", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        """What the operator should look at some time."""
        if PIPE.threshold <= logging.WARNING:
            self._emit("warning", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        """What failed."""
        if PIPE.threshold <= logging.ERROR:
            self._emit("error", event, fields)

    def exception(self, event: str, /, **fields: Any) -> None:
        """What failed, with the exception being handled."""
        if PIPE.threshold <= logging.ERROR:
            self._emit("error", event, {"exc_info": True, **fields})

    def _emit(self, level: str, event: str, fields: dict[str, Any]) -> None:
        # `event` is this program's word for its rows too; a field must not replace what the entry itself says.
        for own in ("event", "logger", "level", "time"):
            if own in fields:
                fields[f"{own}_"] = fields.pop(own)
        try:
            (line,), _ = self._process_event(level, event, fields)
        except structlog.DropEvent:
            return
        except Exception as error:
            line = json.dumps({"level": "error", "event": "log entry lost", "reason": type(error).__name__})
        PIPE.write(line)


def get_logger(name: str, **fields: Any) -> Logger:
    """A logger called ``name`` (``__name__``); may be made before :func:`configure_logging`, and follows it."""
    return Logger(name, PIPE.processors, fields)


def configure_logging(config: LogConfig, stream: TextIO | None = None) -> None:
    """Sends every entry, the standard library's too, to ``stream`` (None: stderr) as ``config`` says."""
    console = config.format == "console" or (config.format == "auto" and _is_terminal(stream))
    PIPE.open(stream, console=console)
    # What calls structlog.get_logger(name) itself goes the same way.
    structlog.configure(
        processors=PIPE.processors,
        wrapper_class=Logger,
        logger_factory=lambda name=None: name,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, StandardHandler)]:
        root.removeHandler(handler)
    root.addHandler(StandardHandler())
    set_level(config.level)


def set_level(level: str) -> None:
    """Leaves out what is less severe than ``level`` (a key of LEVELS), at once and everywhere."""
    PIPE.threshold = LEVELS[level]
    logging.getLogger().setLevel(LEVELS[level])


class StandardHandler(logging.Handler):
    """Takes what aiohttp, asyncio and others log into the pipe."""

    def emit(self, record: logging.LogRecord) -> None:
        """One record of the standard library's; never raises."""
        try:
            event = record.getMessage()
        except Exception:
            event = str(record.msg)
        # LEVELS grow in severity: the last one that the record reaches.
        level = [name for name in LEVELS if LEVELS[name] <= max(record.levelno, logging.DEBUG)][-1]
        get_logger(record.name)._emit(level, event, {"exc_info": record.exc_info})  # noqa: SLF001 - own module
