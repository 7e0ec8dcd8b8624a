"""Sets up the log as the daemon does, into a buffer, and puts everything back."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from alloyd.config import LogConfig
from alloyd.log.pipe import PIPE, StandardHandler, configure_logging


@pytest.fixture
def restored() -> Iterator[None]:
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    root = logging.getLogger()
    level = root.level
    yield
    PIPE.open(None, console=False)
    PIPE.threshold = logging.INFO
    structlog.reset_defaults()
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if isinstance(handler, StandardHandler)]:
        root.removeHandler(handler)
    logging.captureWarnings(False)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


@pytest.fixture
def stream(restored: None) -> io.StringIO:
    """Where the log goes, as JSON lines, from level debug on."""
    stream = io.StringIO()
    configure_logging(LogConfig(level="debug"), stream)
    return stream


@pytest.fixture
def entries(stream: io.StringIO) -> Callable[[], list[dict[str, Any]]]:
    """The entries logged so far."""
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
