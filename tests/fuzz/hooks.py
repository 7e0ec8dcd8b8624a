"""What `make fuzz` tells schemathesis beside its configuration: values for formats of our own, and what no schema says.

A rule that JSON Schema can't say makes 400 the right answer to a request that the schema allows. Only such an answer
is passed over, and only where it names a field of the table below: any other refusal of valid data stays a failure.
"""

from __future__ import annotations

import re
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.openapi.checks import IgnoredAuth, RejectedPositiveData

# The operation and the field that a 400 names, as patterns, and why no schema can say what is wrong there.
UNSAYABLE = (
    (r"GET .*", r"cursor", "a list takes what it gave out itself; each cursor holds a checksum"),
    (r"GET .*/(storage/meta|storage/download)", r"path", "whether a path is a file or a folder is a state"),
    (
        r"POST .*/storage/(folder|rename|move|upload)",
        r"path|dest_path|source_path|file",
        "so is what a path leads through",
    ),
    (
        r".* .*/storage.*",
        r"(source_|dest_)?path|name|new_name",
        "255 and 4096 are bytes; JSON Schema counts characters",
    ),
    (r"POST .*/storage/upload", r"body", "how the names of a form's parts are written is not the schema's"),
    (r"POST /v1/assets", r"filename", "255 are bytes; JSON Schema counts characters"),
    (r"PATCH /v1/.*/\{id\}", r"slug|username|active|name", "one of its fields is needed, and null is none"),
    (r"POST /v1/authz/check(-batch)?", r"(checks\[\d+\]\.)?resource(_type|_id)?", "fields go together; null is none"),
    (
        r"PUT /v1/organizations/\{id\}/budget",
        r"limit_usd",
        "a number of at most six decimal places: floats are inexact",
    ),
    (r"GET /v1/organizations/\{id\}/usage.*", r"from", "one time must not be later than the other"),
    (r"POST /v1/providers/.*", r"(input|params)\b.*|model", "depends on the modality and on who is asked"),
    (
        r"POST /v1/(chat/completions|embeddings)",
        r"(messages|input|tools|tool_choice|response_format|stop)\b.*|model|dimensions|stream_options|top_k",
        "depends on who is asked; fields go together",
    ),
    (r"POST /v1/jobs", r"(input|params)\b.*|model", "depends on the modality and on who is asked"),
    (r"(POST|PATCH) /v1/webhooks.*", r"url", "a host is at most 253 characters, and an address in canonical form"),
    (r"POST /v1/api-keys", r"expires_at", "must be in the future"),
    (r"POST /v1/workflow-definitions", r"release", "a draft can't be released"),
    (r"POST /v1/workflow-definitions(/check)?", r"name", "no pattern says which characters can be printed"),
    (r"GET /v1/events/(stream|ws)", r"kinds", "at most 50 of them, each of at most 100 characters"),
    (r"GET /v1/(workflow-runs|jobs|dead-letters)", r"(created_)?(from|to)", "two names of one filter"),
    (r"POST /v1/credentials(/.*)?", r"connector|kind|(data|settings)\b.*", "depends on the connector"),
    (r"(POST|PUT) /(v1/end-users|20.*/users)(/.*)?", r"username", "whether a name is taken is a state"),
    (r".* /20.*", r"userId|workflowId", "an empty text counts as none: some clients can't leave one out"),
    (r"POST /20.*/run/event", r"event|data", "no pattern says which characters can be printed, or which text is JSON"),
    (r"PUT /20.*/upgrade", r"version", "which releases there are is a state"),
    (
        r"(POST|PATCH) /v1/teammates(/\{id\})?",
        r"tools\[\d+\]\.(connector|action|workflow)",
        "which connectors and workflows there are is a state",
    ),
    (r"GET /v1/events/ws", r"Upgrade", "the handshake is not OpenAPI's"),
)

# A stream ticket that the run was given: no schema knows that it is as good a credential as the key.
TICKET = re.compile(r"[A-Za-z0-9_-]{43}")
# To JSON Schema 131.0 is an integer; here a number with a point is none.
WRITTEN_AS_FLOAT = "got `float`"

_CRON_FIELDS = st.tuples(
    st.integers(0, 59), st.integers(0, 23), st.integers(1, 28), st.integers(1, 12), st.integers(0, 6)
).flatmap(lambda numbers: st.tuples(*(st.sampled_from([str(number), "*"]) for number in numbers)))


def register_formats() -> None:
    """Values for the formats that openapi.json names and JSON Schema does not know."""
    cron = st.sampled_from(["@hourly", "@daily", "@weekly", "*/5 * * * *"]) | _CRON_FIELDS.map(" ".join)
    schemathesis.openapi.format("cron", cron)
    schemathesis.openapi.format(
        "time-zone", st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
    )


def why_unsayable(operation: str, field: str) -> str | None:
    """Why no schema says when a 400 of ``operation`` names ``field``; None when one could."""
    for operations, fields, reason in UNSAYABLE:
        if re.fullmatch(operations, operation) and re.fullmatch(fields, field):
            return reason
    return None


def named_field(response: Response) -> str:
    """The field that a refusal names, in either dialect; empty for none."""
    body = response.json()
    error = body.get("error")
    if isinstance(error, dict):
        if "param" in error:
            return str(error["param"] or "")
        details = error.get("details")
        return str(details.get("field", "")) if isinstance(details, dict) else ""
    return str(body.get("message", "")).partition(":")[0]


@schemathesis.hook
def filter_failure(_context: Any, failure: Failure, case: Any, response: Response) -> bool:
    """Whether it is a failure: not when it is a 400 for a reason that no schema says."""
    if isinstance(failure, IgnoredAuth) and TICKET.fullmatch(str((case.query or {}).get("ticket", ""))):
        return False
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 400:
        return True
    if WRITTEN_AS_FLOAT in response.text:
        return False
    return why_unsayable(case.operation.label, named_field(response)) is None


register_formats()
