"""The dialect of `/ui`, which the web page alone speaks: `{"data": …}`, or `{"error": {code, message, details}}`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from alloyd.errors import AlloydError
from alloyd.wire.route import Call
from alloyd.wire.surface import Surface

_ENCODER = msgspec.json.Encoder()

# What the page's doors answer is for its own scripts: no browser shows it as a page, or hands it to another site's.
ANSWER_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


class PageSurface(Surface):
    """``/ui``: signing in and out, and the first set-up."""

    name = "page-session"
    prefix = "/ui"
    described = False
    answer_headers = ANSWER_HEADERS

    def encode(self, call: Call, value: Any) -> bytes:
        return _ENCODER.encode({"data": value})

    def encode_error(
        self, error: AlloydError, status: int, request_id: str, call: Call | None, trace_id: str | None = None
    ) -> bytes:
        told: dict[str, Any] = {"code": error.code.value, "message": error.message}
        details = error.details if error.details is not None else ({"field": error.field} if error.field else None)
        if details is not None:
            told["details"] = details
        return _ENCODER.encode({"error": told})

    def describe_error(self) -> dict[str, Any]:
        return {"type": "object", "required": ["error"], "properties": {"error": {"type": "object"}}}

    def describe_security(self) -> dict[str, Any]:
        return {"type": "apiKey", "in": "cookie", "name": "alloyd_session"}


class FilesSurface(PageSurface):
    """``/page``: the files of the page, which anybody may read; what they show is behind the page's doors."""

    name = "page-files"
    prefix = "/page"


class IndexSurface(PageSurface):
    """``/`` itself."""

    name = "page-index"
    prefix = ""
