"""One data directory of a test, the daemon on it, and who works with it."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.harness import Daemon, Ledger, OtherParty
from tests.crash.load import Load, Shared


@dataclass
class Scene:
    """All that a test of this folder has."""

    daemon: Daemon
    load: Load
    other: OtherParty
    rng: random.Random


@pytest.fixture
def seed() -> int:
    """A failing test shows it; ALLOYD_CRASH_SEED brings the same choices back."""
    return int(os.environ.get("ALLOYD_CRASH_SEED") or random.SystemRandom().randrange(2**32))


@pytest.fixture
async def scene(tmp_path: Path, seed: int) -> AsyncIterator[Scene]:
    """Nothing has been started yet."""
    print(f"ALLOYD_CRASH_SEED={seed}")
    ledger = Ledger(tmp_path / "ledger.jsonl")
    daemon = Daemon(tmp_path / "data", ledger)
    async with OtherParty() as other:
        shared = Shared(ledger, random.Random(seed), other.url)
        try:
            yield Scene(daemon, Load(shared), other, random.Random(seed + 1))
        finally:
            await daemon.end()
            ledger.close()
            if daemon.errors_file.exists():
                print(daemon.errors())
