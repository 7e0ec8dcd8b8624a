"""The process ends at each named place of an overwrite and a sweep; the next one finds one whole content."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alloyd.kit import crash
from tests.storage import ONE, Backend, open_backend

OLD, NEW = b"old" * 100_000, b"new" * 100_000

SCRIPT = """
import asyncio, sys
from pathlib import Path
from tests.storage import ONE, open_backend
from tests.domain.storage.test_crash import NEW

async def main() -> None:
    async with open_backend(Path(sys.argv[1])) as backend:
        await backend.put("d/f", NEW)
        print("acknowledged", flush=True)
        await backend.storage.delete(ONE, "d/gone")
        await backend.sweeper.sweep()

asyncio.run(main())
"""

PLACES = [name for name in crash.POINTS if name.split(".")[0] in ("blob", "storage", "sweep")]


@pytest.mark.parametrize("place", PLACES)
async def test_one_whole_content_whatever_happens(tmp_path: Path, place: str) -> None:
    async with open_backend(tmp_path) as before:
        await before.put("d/f", OLD)
        await before.put("d/gone", b"x")
    environment = {**os.environ, "ALLOYD_CRASH_AT": place, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(  # nothing else goes on in this loop
        [sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment, capture_output=True, cwd=Path.cwd()
    )
    assert done.returncode == crash.EXIT_STATUS, done.stderr.decode()
    async with open_backend(tmp_path) as after:
        await check_after(after, acknowledged=b"acknowledged" in done.stdout, place=place)


async def check_after(after: Backend, *, acknowledged: bool, place: str) -> None:
    content = await after.get("d/f")
    assert content in (OLD, NEW)
    assert not acknowledged or content == NEW
    assert (content == NEW) == (place in ("storage.after_swap", "sweep.before_unlink", "sweep.after_unlink"))
    await after.sweeper.clean_up()
    await after.sweeper.sweep()
    assert after.files_in_tmp() == []
    usage = await after.storage.usage(ONE)
    assert len(after.files_on_disk()) == usage.files == len(await after.tree()) - 1
