"""`make fuzz`: schemathesis with all its checks against a daemon of its own; what it finds ends the command with 1."""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from alloyd.cli.scratch import ScratchClient, ScratchDaemon

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CONTRACT = ROOT / "tests" / "wire" / "embedded" / "openapi.yaml"
CONTRACT_CHECKS = "not_a_server_error,response_schema_conformance,content_type_conformance,ignored_auth"


async def fuzz(examples_max: int, more: list[str], *, embedded: bool = False) -> int:
    """Run schemathesis, with ``embedded`` over the contract's own document; its exit status."""
    with tempfile.TemporaryDirectory(prefix="alloyd-fuzz-") as folder:
        async with ScratchDaemon(Path(folder) / "data") as daemon:
            await daemon.start()
            async with daemon.connect() as client:
                wanted = {"name": "fuzz", "scopes": ["embedded"], "role": "owner"}
                issued = await client.ask("POST", "/v1/api-keys", json=wanted)
                if embedded:
                    await _stage(client)
            target = [f"{daemon.url}/openapi.json", "--checks", "all"]
            if embedded:
                target = [str(CONTRACT), "--url", f"{daemon.url}/2025-09", "--checks", CONTRACT_CHECKS]
            config = HERE / ("embedded.toml" if embedded else "schemathesis.toml")
            command = [
                *(str(Path(sys.executable).with_name("st")), "--config-file", str(config), "run"),
                *(*target, "--max-examples", str(examples_max), *more),
            ]
            environment = {
                **os.environ,
                "ALLOYD_FUZZ_KEY": daemon.key,
                "ALLOYD_FUZZ_EMBEDDED_KEY": issued["key"],
                "PYTHONPATH": str(ROOT),
            }
            done = await asyncio.to_thread(subprocess.run, command, env=environment, cwd=folder, check=False)
            await daemon.stop()
    return done.returncode


async def _stage(client: ScratchClient) -> None:
    """Make what the contract's examples speak of, which may be named as well as by an id."""
    flow = {
        "name": "wf_xyz456",
        "trigger": {"type": "event", "event": "order.created"},
        "nodes": [{"key": "a", "operation": "workflow.noop"}],
    }
    made = await client.ask("POST", "/v1/workflow-definitions", json=flow)
    await client.ask("POST", f"/v1/workflow-definitions/{made['id']}/releases", json={"release": "2.0.0"})
    await client.ask("POST", "/v1/end-users", json={"username": "usr_abc123"})
    await client.ask("POST", "/v1/integrations", json={"slug": "shopify", "name": "Shopify"})
    await client.ask("POST", "/v1/integrations/int_shopify/workflows", json={"workflow_id": made["id"]})


def main() -> int:
    """The command line; what it does not know is handed on to schemathesis."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--max-examples", type=int, default=30, help="test cases for each operation and phase")
    parser.add_argument("--embedded", action="store_true", help="try the embedded contract's own document instead")
    options, more = parser.parse_known_args()
    return asyncio.run(fuzz(options.max_examples, more, embedded=options.embedded))


if __name__ == "__main__":
    sys.exit(main())
