"""Where Swagger UI's files are: the API reference serves them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from alloyd.process.unpacked import own_directory

PACKAGE: Final = "flask_swagger_ui"


def find_swagger_ui() -> Path:
    """The folder, in the executable or in the installed package, which is never imported: it would want Flask.

    Raises RuntimeError when the package is not installed.
    """
    unpacked = own_directory()
    if unpacked is not None:
        return unpacked / PACKAGE / "dist"
    found = find_spec(PACKAGE)  # of a top-level name: looks for it and runs nothing
    if found is None or found.origin is None:
        raise RuntimeError("flask-swagger-ui is not installed, which has the files of the API reference")
    return Path(found.origin).parent / "dist"
