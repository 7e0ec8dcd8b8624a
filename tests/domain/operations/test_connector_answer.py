"""Answers of applications: good, failed for ever, failed for now with the time to wait, and without secrets."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from alloyd.domain.connectors.checking import read_definition
from alloyd.domain.connectors.model import Definition
from alloyd.domain.operations.connector_answer import Answer, expired, redacted, refuse_failed
from alloyd.domain.operations.model import OperationError
from alloyd.egress import ResponseHeaders
from tests.connectors import OWN_CONNECTOR

NOW_MS = 1_767_225_600_000


def definition(**limits: Any) -> Definition:
    own = copy.deepcopy(OWN_CONNECTOR)
    own["rate_limit"] |= limits
    return read_definition(own)


def answer(status: int, data: Any = None, **headers: str) -> Answer:
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Answer(status, ResponseHeaders(pairs), data, [])


@pytest.mark.parametrize(
    ("given", "code", "wait_ms"),
    [
        (answer(429, retry_after="7"), "connector_status", 7000),
        (answer(429, x_reset="2.5"), "connector_status", 2500),
        (answer(429, x_reset="soon"), "connector_status", None),
        (answer(429, x_reset="nan"), "connector_status", None),
        (answer(403, x_remaining="0", x_reset="3"), "connector_status", 3000),
        (answer(503), "connector_status", None),
        (answer(200, {"ok": False, "error": "ratelimited"}, retry_after="4"), "connector_error", 4000),
    ],
)
def test_what_gets_better(given: Answer, code: str, wait_ms: int | None) -> None:
    with pytest.raises(OperationError) as raised:
        refuse_failed(definition(), given, NOW_MS)
    error = raised.value
    assert (error.code, error.retryable, error.retry_after_ms) == (code, True, wait_ms)


def test_a_limit_that_ends_at_a_time() -> None:
    with pytest.raises(OperationError) as raised:
        refuse_failed(definition(reset_is="at"), answer(429, x_reset=str(NOW_MS // 1000 + 9)), NOW_MS)
    assert raised.value.retry_after_ms == 9000


@pytest.mark.parametrize(
    "given",
    [
        answer(403),
        answer(403, x_remaining="5"),
        answer(302),
        answer(404, {"message": "x" * 10_000}),
        answer(200, {"ok": False, "error": "no_such_channel"}),
        answer(200, {"ok": False}),
    ],
)
def test_what_does_not(given: Answer) -> None:
    with pytest.raises(OperationError) as raised:
        refuse_failed(definition(), given, NOW_MS)
    assert (raised.value.retryable, raised.value.retry_after_ms) == (False, None)
    assert len(str(raised.value.details)) < 5000


@pytest.mark.parametrize("given", [answer(200, {"ok": True}), answer(204), answer(200, [1]), answer(201, "text")])
def test_good_ones(given: Answer) -> None:
    refuse_failed(definition(), given, NOW_MS)
    assert not expired(definition(), given)


def test_expired() -> None:
    assert expired(definition(), answer(401))
    assert expired(definition(), answer(200, {"ok": False, "error": "token_expired"}))
    assert not expired(definition(), answer(200, {"ok": False, "error": "other"}))


def test_no_secret_comes_back() -> None:
    secret = 'a/"b"\\c-secret'
    for form in (secret.encode(), b'a/\\"b\\"\\\\c-secret', b'a\\/"b"\\c-secret'):
        assert redacted(b"<" + form + b">", [secret]) == b"<***>"
