"""Structured logs on stderr: one pipe for all, with context, and without secrets."""

from __future__ import annotations

from alloyd.log.hooks import install_hooks
from alloyd.log.pipe import (
    LEVELS,
    Logger,
    bind_log_context,
    configure_logging,
    get_logger,
    log_context,
    set_level,
)
from alloyd.log.redact import redact, redact_text

__all__ = [
    "LEVELS",
    "Logger",
    "bind_log_context",
    "configure_logging",
    "get_logger",
    "install_hooks",
    "log_context",
    "redact",
    "redact_text",
    "set_level",
]
