"""`make fuzz`: schemathesis with all its checks against a daemon of its own; what it finds ends the command with 1."""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from alloyd.cli.scratch import ScratchDaemon

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


async def fuzz(examples_max: int, more: list[str]) -> int:
    """Run schemathesis; its exit status."""
    with tempfile.TemporaryDirectory(prefix="alloyd-fuzz-") as folder:
        async with ScratchDaemon(Path(folder) / "data") as daemon:
            await daemon.start()
            command = [
                *(str(Path(sys.executable).with_name("st")), "--config-file", str(HERE / "schemathesis.toml"), "run"),
                *(f"{daemon.url}/openapi.json", "--checks", "all", "--max-examples", str(examples_max), *more),
            ]
            environment = {**os.environ, "ALLOYD_FUZZ_KEY": daemon.key, "PYTHONPATH": str(ROOT)}
            done = await asyncio.to_thread(subprocess.run, command, env=environment, cwd=folder, check=False)
            await daemon.stop()
    return done.returncode


def main() -> int:
    """The command line; what it does not know is handed on to schemathesis."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--max-examples", type=int, default=30, help="test cases for each operation and phase")
    options, more = parser.parse_known_args()
    return asyncio.run(fuzz(options.max_examples, more))


if __name__ == "__main__":
    sys.exit(main())
