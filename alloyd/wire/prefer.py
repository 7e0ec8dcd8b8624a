"""What a caller prefers of an answer (RFC 7240): to wait for it, or to be told where it will be."""

from __future__ import annotations

import re
from typing import Final

from alloyd.errors import bad_request
from alloyd.wire.route import Call

APPLIED: Final = "Preference-Applied"
RESPOND_ASYNC: Final = "respond-async"

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,9})\"?(?=\s*(?:[,;]|$))", re.IGNORECASE)
_ASYNC = re.compile(r"(?:^|[,\s])respond-async(?=\s*(?:[,;]|$))", re.IGNORECASE)


def read_wait(call: Call, wait_s_max: int) -> int | None:
    """Seconds of ``Prefer: wait=N``, None without one. Raises ``bad_request`` over ``wait_s_max``."""
    prefer = call.request.headers.getall("Prefer", None)
    found = _WAIT.search(",".join(prefer)) if prefer else None
    if found is None:
        return None
    wait_s = int(found[1])
    if wait_s > wait_s_max:
        raise bad_request(f"Prefer: wait: at most {wait_s_max} seconds", "Prefer")
    return wait_s


def wants_async(call: Call) -> bool:
    """Whether ``Prefer`` has ``respond-async``."""
    return _ASYNC.search(",".join(call.request.headers.getall("Prefer", ()))) is not None
