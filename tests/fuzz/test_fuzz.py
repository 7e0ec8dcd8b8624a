from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from tests.fuzz.__main__ import fuzz
from tests.fuzz.hooks import UNSAYABLE, why_unsayable

DOCUMENT = Path(__file__).parents[2] / "alloyd" / "docs" / "openapi.json"
# What is asked most; `make fuzz` asks for all.
PATHS = (
    "/v1/api-keys",
    "/v1/assets",
    "/v1/jobs",
    "/v1/me",
    "/v1/providers/estimate",
    "/v1/schedules",
    "/v1/teams",
    "/v1/webhooks",
    "/v1/workflow-definitions",
    "/v1/workflow-runs",
    "/v1/workflow-runs/{id}/start",
    "/api/private/storage",
    "/api/private/storage/folder",
    "/api/private/trigger/{workflow_id}",
)


async def test_what_is_asked_most_is_answered_as_described() -> None:
    wanted = [part for path in PATHS for part in ("--include-path", path)]
    assert await fuzz(3, [*wanted, "--phases", "fuzzing", "--seed", "1", "--generation-deterministic"]) == 0


def test_what_no_schema_says_is_of_operations_that_there_are() -> None:
    paths = msgspec.json.decode(DOCUMENT.read_bytes())["paths"]
    operations = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert set(PATHS) <= set(paths)
    for pattern, _field, reason in UNSAYABLE:
        assert any(re.fullmatch(pattern, operation) for operation in operations), reason


@pytest.mark.parametrize(
    ("operation", "field", "passed_over"),
    [
        ("GET /v1/jobs", "cursor", True),
        ("GET /v1/jobs", "status", False),
        ("POST /v1/jobs", "cursor", False),
        ("POST /v1/providers/execute", "params.temperature", True),
        ("POST /v1/teams", "slug", False),
    ],
)
def test_only_named_fields_are_passed_over(operation: str, field: str, passed_over: bool) -> None:
    assert (why_unsayable(operation, field) is not None) is passed_over
