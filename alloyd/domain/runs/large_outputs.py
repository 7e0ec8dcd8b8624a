"""An output that is too large for its row, of a step or of its items, becomes an object; a reference stands for it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from alloyd.domain.operations.model import Done, NewStepObject, OperationError, Outcome, Services
from alloyd.domain.runs.machine import Run
from alloyd.errors import AlloydError, Code
from alloyd.log import get_logger
from alloyd.principal import system_principal

log = get_logger("alloyd.runs")

# The step has had its effect: a disk or bucket that fails for a moment must not make it be done again.
TRIES_MAX: Final = 10
RETRY_S: Final = 1.0
NAME_CHARS_MAX: Final = 100
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.-]")


async def put_away(run: Run, key: str, outcome: Done, encoded: bytes, services: Services) -> Outcome | OperationError:
    """``outcome`` with ``{object_key, url, filename, size, content_type}`` in place of its output, ``encoded``.

    The same step's object is found again, whatever happened in between. An error when it is too large for an object
    too, or can't be stored.
    """
    stored = await keep(run, key, lambda: _whole(encoded), services)
    if not isinstance(stored, OperationError):
        return replace(outcome, output=dict(stored))
    if stored.code == Code.TOO_LARGE.value:
        return OperationError("output_too_large", f"the output has {len(encoded)} bytes, more than an object may")
    return stored


async def keep(
    run: Run, key: str, chunks: Callable[[], AsyncIterator[bytes]], services: Services
) -> Mapping[str, Any] | OperationError:
    """The reference to the object that has ``chunks()``, JSON, as the step's output; asked for anew at each try.

    The same step's object is found again, whatever happened in between. An error, ``too_large`` among them, when it
    can't be stored.
    """
    assert services.objects is not None
    name = _UNFIT.sub("_", key)[:NAME_CHARS_MAX]
    new = NewStepObject(
        f"{name}.json", "application/json", run.workflow_id, run.id, run.started_by, f"{run.id}:{key}:output"
    )
    for tries in range(1, TRIES_MAX + 1):
        try:
            return await services.objects.put_output(system_principal(run.org_id, run.id), new, chunks())
        except AlloydError as error:
            if error.code is not Code.UNAVAILABLE or tries == TRIES_MAX:
                return OperationError(error.code.value, f"the output can't be stored: {error.message}")
            log.error("an output can't be stored; will be tried again", run_id=run.id, step=key, reason=error.message)
            await asyncio.sleep(RETRY_S)
    raise AssertionError  # the last try returns


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content
