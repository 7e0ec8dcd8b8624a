"""`alloyd run`: starting workflows and following their runs."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from alloyd.cli.client import Client, segment
from alloyd.cli.errors import NoDaemon, Unsuccessful
from alloyd.cli.live.events import event_line
from alloyd.cli.live.workflow import find_workflow_id, list_names
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import clean, format_time, hint, print_fields, print_json, print_json_line, print_table, say
from alloyd.cli.output import to_json as json_text
from alloyd.domain.runs.model import ENDED, RunState
from alloyd.events.model import TERMINAL_RUN_KINDS

STEM: Final = "/v1/workflow-runs"
WAIT_S_MAX: Final = 7 * 24 * 3600
INPUT_BYTES_MAX: Final = 64 * 1024 * 1024  # the most that engine.payload_bytes_max can be

_ENDED: Final = frozenset(state.value for state in ENDED)
_SETTLED_NODE: Final = frozenset(f"workflow.node.{word}" for word in ("completed", "failed", "skipped", "cancelled"))
_FOREVER: Final = -1

group = Group("run", help="Runs of workflows.", example='alloyd run start hello --input \'{"name": "Ada"}\' --wait')


class _Wait(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.5 on
    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if not value.isascii() or not value.isdigit() or not 0 < int(value) <= WAIT_S_MAX:
            self.fail(f"{value!r} is no number of seconds; put --wait last, or write --wait=30", param, ctx)
        return int(value)


def read_input(text: str, option: str = "--input") -> bytes:
    """JSON from ``text``, from the file that ``@file`` names, or from stdin for ``-``."""
    try:
        if text == "-":
            content = sys.stdin.buffer.read(INPUT_BYTES_MAX + 1)
        elif text.startswith("@"):
            with Path(text[1:]).open("rb") as file:
                content = file.read(INPUT_BYTES_MAX + 1)
        else:
            content = text.encode()
    except (OSError, UnicodeEncodeError) as error:
        raise click.BadParameter(f"cannot be read: {error}", param_hint=option) from None
    try:
        msgspec.json.decode(content, type=msgspec.Raw)
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint=option) from None
    return content


@group.command("start", example='alloyd run start hello --input \'{"name": "Ada"}\' --wait')
@click.argument("workflow")
@click.option("--input", "given", default="{}", help="JSON for the workflow; @FILE reads it from a file, - from stdin.")
@click.option(
    "--wait",
    "wait_s",
    type=_Wait(),
    is_flag=False,
    flag_value=_FOREVER,
    metavar="[SECONDS]",
    help="Wait for the end, at most so long; exit code 1 unless the run completes.",
)
@org_option
@json_option
@live(works=lambda options: options["wait_s"] is not None)
async def start_run(client: Client, workflow: str, given: str, wait_s: int | None, as_json: bool) -> None:
    """Start a workflow, by name or id."""
    payload = read_input(given)
    workflow_id = await find_workflow_id(client, workflow)
    started = await client.post(f"/api/private/trigger/{segment(workflow_id)}", payload)
    run_id, result = started["runId"], started["result"]
    if wait_s is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None if wait_s == _FOREVER else wait_s):
                await _follow_silently(client, run_id)
        run = await client.get(f"{STEM}/{run_id}")
        result["status"] = run["status"]
        result |= {name: run[name] for name in ("output", "error") if run[name] is not None}
    if as_json:
        print_json(started)
    else:
        _tell_start(run_id, result)
    if wait_s is None:
        if client.offline:
            hint("no daemon runs: the run begins when one is started")
    elif result["status"] not in _ENDED:
        hint(f"the run goes on; `alloyd run watch {run_id}` follows it")
        raise Unsuccessful
    elif result["status"] != RunState.COMPLETED:
        raise Unsuccessful


@group.command("list", example="alloyd run list --status failed --limit 20")
@click.option("--status", type=click.Choice([state.value for state in RunState]), help="Only runs that stand so.")
@click.option("--workflow", help="Only runs of this workflow, by name or id.")
@click.option("--top-level", is_flag=True, help="Without runs that other runs started, such as a foreach's items.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many at most.")
@org_option
@json_option
@live()
async def list_runs(
    client: Client, status: str | None, workflow: str | None, top_level: bool, limit: int, as_json: bool
) -> None:
    """List runs, newest first."""
    workflow_id = None if workflow is None else await find_workflow_id(client, workflow)
    query = {"status": status, "workflow_id": workflow_id, "top_level": "true" if top_level else None}
    found = await client.list_pages(STEM, query, limit)
    if as_json:
        print_json(found)
        return
    names = await list_names(client) if found else {}
    rows = [
        (
            run["id"],
            names.get(run["workflow_id"], run["workflow_id"]),
            run["status"],
            f"{run['progress']['percentage']} %",
            format_time(run["created_at"]),
            format_time(run["ended_at"]),
        )
        for run in found
    ]
    print_table(("ID", "WORKFLOW", "STATUS", "DONE", "CREATED", "ENDED"), rows)


@group.command("show", example="alloyd run show 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11")
@click.argument("run")
@org_option
@json_option
@live()
async def show_run(client: Client, run: str, as_json: bool) -> None:
    """Show a run with its steps."""
    found = await client.get(f"{STEM}/{segment(run)}")
    if as_json:
        print_json(found)
        return
    plain = ("id", "workflow_id", "workflow_version", "status", "trigger", "created_at", "started_at", "ended_at")
    fields = {name: found[name] for name in plain}
    fields |= {name: json_text(found[name], indent=None) for name in ("payload", "context", "output", "error")}
    print_fields(fields)
    say()
    rows = [
        (
            step["key"],
            step["operation"],
            step["status"],
            step["attempt"],
            None if step["duration_ms"] is None else f"{step['duration_ms']} ms",
            "" if step["error"] is None else f"{step['error'].get('code')}: {step['error'].get('message')}",
        )
        for step in found["steps"]
    ]
    print_table(("STEP", "OPERATION", "STATUS", "ATTEMPT", "TOOK", "ERROR"), rows)


@group.command("watch", example="alloyd run watch 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11")
@click.argument("run")
@org_option
@json_option
@live()
async def watch_run(client: Client, run: str, as_json: bool) -> None:
    """Follow a run, a line an event, to its end; exit code 1 unless it completes. A run under way needs the daemon."""
    found = await client.get(f"{STEM}/{segment(run)}")
    if client.offline and found["status"] not in _ENDED:
        raise NoDaemon(f"the run is {found['status']}, and no daemon runs that would go on with it")
    bar = _Bar(found["progress"]["total"]) if sys.stdout.isatty() and not as_json else None
    try:
        await _watch(client, found["id"], as_json, bar)
    finally:
        if bar is not None:
            bar.close()


@group.command("cancel", example="alloyd run cancel 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11")
@click.argument("run")
@org_option
@json_option
@live()
async def cancel_run(client: Client, run: str, as_json: bool) -> None:
    """End a run now: running steps are interrupted, waiting ones skipped."""
    ended = await client.post(f"{STEM}/{segment(run)}/cancel")
    if as_json:
        print_json(ended)
    else:
        say(f"run {ended['id']} is {ended['status']}")


@group.command("retry", example="alloyd run retry 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11 --from failed")
@click.argument("run")
@click.option(
    "--from", "start", default="failed", show_default=True, help="`start`, what `failed`, or the key of a step."
)
@click.option(
    "--version",
    type=click.Choice(["pinned", "latest"]),
    default="pinned",
    show_default=True,
    help="The run's own version of the workflow, or the newest.",
)
@org_option
@json_option
@live()
async def retry_run(client: Client, run: str, start: str, version: str, as_json: bool) -> None:
    """Start a new run of an ended one; results of steps that do not come after the start are taken over."""
    made = await client.post(f"{STEM}/{segment(run)}/retry", {"from": start, "version": version})
    if as_json:
        print_json(made)
        return
    say(f"run {made['id']} {made['status']}")
    if client.offline:
        hint("no daemon runs: the run begins when one is started")


@group.command(
    "signal", example='alloyd run signal 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11 approved --data \'{"by": "Ada"}\''
)
@click.argument("run")
@click.argument("name")
@click.option("--data", "given", default="null", help="JSON for the step; @FILE reads it from a file, - from stdin.")
@org_option
@json_option
@live()
async def signal_run(client: Client, run: str, name: str, given: str, as_json: bool) -> None:
    """Resume the step that waits for the event NAME, or that is called so."""
    data = msgspec.json.decode(read_input(given, "--data"))
    done = await client.post(f"{STEM}/{segment(run)}/signal", {"name": name, "data": data})
    if as_json:
        print_json(done)
    else:
        say(f"step {done['step']} of run {done['run_id']} goes on")


def _tell_start(run_id: str, result: dict[str, Any]) -> None:
    say(f"run {run_id} {result['status']}")
    if "output" in result:
        print_json(result["output"])
    if "error" in result:
        error = result["error"]
        at = f" in step {error['step']}" if error.get("step") else ""
        hint(f"{error.get('code')}{at}: {error.get('message')}")


async def _follow_silently(client: Client, run_id: str) -> None:
    async with client.events(f"{STEM}/{run_id}/events") as events:
        async for event in events:
            if event["kind"] in TERMINAL_RUN_KINDS:
                return


async def _watch(client: Client, run_id: str, as_json: bool, bar: _Bar | None) -> None:
    ended = None
    async with client.events(f"{STEM}/{run_id}/events") as events:
        async for event in events:
            if as_json:
                print_json_line(event)
            elif bar is not None:
                bar.show(event)
            else:
                say(event_line(event))
            if event["kind"] in TERMINAL_RUN_KINDS:
                ended = event["kind"]
    if ended is None:
        raise NoDaemon("the daemon has stopped; the run goes on when it is started again")
    if ended != "workflow.run.completed":
        raise Unsuccessful


class _Bar:
    """Lines that scroll by above a bar that stays, on a terminal."""

    def __init__(self, total: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=Console(),
            transient=True,
        )
        self._task = self._progress.add_task("steps", total=max(total, 1))
        self._settled: set[str] = set()
        self._progress.start()

    def show(self, event: dict[str, Any]) -> None:
        self._progress.console.print(Text(clean(event_line(event))))
        if event["kind"] in _SETTLED_NODE:
            self._settled.add(event["node_key"])
            self._progress.update(self._task, completed=len(self._settled))

    def close(self) -> None:
        self._progress.stop()
