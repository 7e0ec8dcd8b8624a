"""The description of the whole public API is a file in the repository, so that a change of the wire shows in review.

``make openapi`` writes it anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from alloyd.app import App
from alloyd.config import Config
from alloyd.process.datadir import DataDir

from .test_openapi import check_document

GOLDEN = Path(__file__).parents[2] / "alloyd" / "docs" / "openapi.json"


async def test_the_description_is_as_it_was(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path / "data")
    data_dir.prepare()
    data_dir.lock("test")
    with data_dir:
        app = await App.open(Config(), data_dir)
        try:
            served = app.openapi()
        finally:
            await app.close(0)
    check_document(msgspec.json.decode(served))
    if os.environ.get("ALLOYD_WRITE_GOLDEN"):
        GOLDEN.write_bytes(served)
    assert served == GOLDEN.read_bytes(), "the API has changed: `make openapi`, and look at the difference"
