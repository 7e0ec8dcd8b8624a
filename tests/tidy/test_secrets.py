"""No secret in the sources, and none handed to the log by its name."""

from __future__ import annotations

import ast
import re

import pytest

_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\balloy_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{32,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bsk-[A-Za-z0-9]{32,}"
)
_LOGGERS = {"log", "logger", "_log"}
_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
_SECRET_WORDS = {"password", "secret", "token", "authorization", "raw_key", "api_key", "cookie", "passphrase"}


def secret_faults(name: str, text: str) -> list[str]:
    return [f"{name}:{number}" for number, line in enumerate(text.splitlines(), 1) if _SECRETS.search(line)]


def log_faults(source) -> list[str]:
    """Log calls with a field that is called like a secret."""
    found = []
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=level), keywords=words) if (
                name in _LOGGERS and level in _LEVELS
            ):
                named = {word.arg for word in words} & _SECRET_WORDS
                found += [f"{source.module}: line {node.lineno} logs {word}" for word in sorted(named)]
    return found


def test_no_secret_in_the_sources(text_files):
    """Tests may hold made-up ones, to look for them in the log."""
    written = {name: text for name, text in text_files.items() if not name.startswith("tests/")}
    faults = [fault for name, text in written.items() for fault in secret_faults(name, text)]
    assert not faults, "\n".join(faults)


def test_no_secret_goes_to_the_log(sources):
    faults = [fault for source in sources for fault in log_faults(source)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "text", ["-----BEGIN " + "RSA PRIVATE KEY-----", "AKIA" + "A" * 16, "alloy_" + "a" * 8 + "_" + "b" * 40]
)
def test_secret_check_sees_a_fault(text):
    assert secret_faults("a.md", f"\n{text}\n") == ["a.md:2"]


def test_log_check_sees_a_fault(sample):
    assert log_faults(sample("alloyd.app", "log.info('signed in', password=x)"))
    assert log_faults(sample("alloyd.app", "log.info('signed in', user_id=x)")) == []
