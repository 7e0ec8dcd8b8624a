"""`/docs`: a page of ours around Swagger UI's files. What it may load is this list, and nothing of another host."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

from alloyd.wire.fixed import FixedFile
from alloyd.wire.route import PUBLIC, Route
from alloyd.wire.system.app import SystemSurface

_SCRIPT: Final = "text/javascript"
_STYLE: Final = "text/css"

# Swagger UI sets its styles through the DOM, so nothing inline is allowed. Its icons are `data:` images of its own
# style sheet; what "try it" got, an image or a sound, it shows as `blob:`.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_FILE_HEADERS: Final = {"Cross-Origin-Resource-Policy": "same-origin"}

# Of Swagger UI's folder; packaging/contents.py puts the same into the executable, beside their licence.
SWAGGER_UI_FILES: Final = (("swagger-ui-bundle.js", _SCRIPT), ("swagger-ui.css", _STYLE))
# Of this folder.
OWN_FILES: Final = (("start.js", _SCRIPT), ("page.css", _STYLE))
_SOURCE_MAP: Final = b"/*# sourceMappingURL="


class ReferenceSurface(SystemSurface):
    """``/docs``. Errors are the system surface's."""

    name = "docs"
    prefix = "/docs"
    described = False


def reference_surface(swagger_ui: Path) -> ReferenceSurface:
    """The page and its files, read now. ``swagger_ui`` is the folder with :data:`SWAGGER_UI_FILES`.

    Raises OSError when one is not there.
    """
    here = resources.files("alloyd") / "wire" / "system" / "reference"
    page = FixedFile((here / "page.html").read_bytes(), "text/html", _PAGE_HEADERS)
    files = {name: FixedFile((here / name).read_bytes(), kind, _FILE_HEADERS) for name, kind in OWN_FILES}
    for name, kind in SWAGGER_UI_FILES:
        files[name] = FixedFile(_without_source_map((swagger_ui / name).read_bytes()), kind, _FILE_HEADERS)
    routes = [Route("GET", "", page.answer, PUBLIC, "The API reference, to be read and tried", streams="text/html")]
    for name, file in files.items():
        routes.append(Route("GET", f"/{name}", file.answer, PUBLIC, "A file of the API reference", streams="*/*"))
    return ReferenceSurface(routes)


def _without_source_map(data: bytes) -> bytes:
    """Without the last line that names a file which is not served."""
    stem, mark, _rest = data.rpartition(_SOURCE_MAP)
    return stem if mark else data
