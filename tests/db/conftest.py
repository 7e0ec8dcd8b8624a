"""A real database in a directory of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alloyd.db import Database, DatabaseSettings
from alloyd.db.migrate import migrate
from alloyd.kit.clock import ManualClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "alloyd.db"
    migrate(path)
    return path


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    database = await Database.open(path, ManualClock(), DatabaseSettings(readers=2))
    yield database
    await database.close()
