"""``POST /run/event`` of the embedded contract: an event of an end user starts and resumes that user's runs."""

from __future__ import annotations

from typing import Any

import msgspec

from alloyd.domain.embedded.service import EmbeddedEvents
from alloyd.domain.endusers.service import EndUserService
from alloyd.errors import AlloydError, bad_request
from alloyd.wire import body
from alloyd.wire.embedded.codec import in_its_words
from alloyd.wire.embedded.dialect import Dialect
from alloyd.wire.idempotency import read_once
from alloyd.wire.route import Call, Route

_OBJECT = msgspec.json.Decoder(dict[str, Any])


def routes(
    events: EmbeddedEvents, end_users: EndUserService, dialect: Dialect, body_bytes_max: int, depth_max: int
) -> list[Route]:
    """The route ``/run/event`` (embedded contract: Events). ``body_bytes_max`` bounds the body, ``depth_max`` the
    nesting of data that come as text."""

    async def trigger(call: Call) -> object:
        asked = call.body
        user = await end_users.get(call.who, asked.user_id)
        await events.trigger(call.who, user.id, asked.event, read_data(asked.data, depth_max), read_once(call))
        return dialect.triggered.make()

    return [
        Route(
            "POST",
            "/run/event",
            in_its_words(trigger),
            "workflow.run",
            "Start an end user's workflows that this event starts, and resume those that wait for it",
            body=dialect.event_body,
            output=dialect.triggered.output,
            statuses=(404, 409, 429),
            body_bytes_max=body_bytes_max,
        )
    ]


def read_data(data: dict[str, Any] | str, depth_max: int) -> dict[str, Any]:
    """The payload of an event, which older versions take as JSON text too. Raises ``bad_request`` for other text."""
    if not isinstance(data, str):
        return data
    try:
        return _read_object(data.encode() or b"{}", depth_max)
    except (AlloydError, UnicodeEncodeError):
        raise bad_request("data: an object is wanted, or one as JSON text", "data") from None


def _read_object(text: bytes, depth_max: int) -> dict[str, Any]:
    found: dict[str, Any] = body.decode_json(text, _OBJECT, depth_max)
    return found
