"""`alloyd job`: calls of AI models that are done in the background."""

from __future__ import annotations

from typing import Any, Final

import click
import msgspec

from alloyd.cli.client import Client, segment
from alloyd.cli.errors import NoDaemon, Unsuccessful
from alloyd.cli.live.events import event_line
from alloyd.cli.live.run import read_input
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import format_time, hint, print_fields, print_json, print_json_line, print_table, say
from alloyd.cli.output import to_json as json_text
from alloyd.domain.jobs.model import ENDED, JobStatus

STEM: Final = "/v1/jobs"
_ENDED: Final = frozenset(status.value for status in ENDED)
_LAST: Final = frozenset({"job.completed", "job.failed"})

group = Group("job", help="Jobs: AI calls in the background.", example="alloyd job submit text 'Say hello' --wait")


@group.command("submit", example="alloyd job submit text 'Say hello' --model gpt-4o-mini --wait")
@click.argument("modality")
@click.argument("text", required=False)
@click.option("--input", "given", help='JSON in place of the text, such as {"asset_id": "…"}; @FILE, - for stdin.')
@click.option("--model", help="The model, or provider/model; else routed by tier.")
@click.option("--provider", help="The provider, by its configured name.")
@click.option("--tier", help="fast, standard, best, or a configured one.")
@click.option("--params", "params", default="{}", help='JSON such as {"max_tokens": 100}; @FILE, - as for --input.')
@click.option("--idempotency-key", help="The same key again gives the same job.")
@click.option("--wait", is_flag=True, help="Wait for the end; exit code 1 unless the job completes.")
@org_option
@json_option
@live(works=lambda options: options["wait"])
async def submit_job(
    client: Client, text: str | None, given: str | None, params: str, wait: bool, as_json: bool, **asked: str | None
) -> None:
    """Have TEXT, or --input, done in the background, such as `text`, `embedding` or `image` for MODALITY."""
    if (text is None) == (given is None):
        raise click.UsageError("either TEXT or --input is wanted")
    body = {name: value for name, value in asked.items() if value is not None}
    body["input"] = text if given is None else msgspec.json.decode(read_input(given))  # type: ignore[assignment]
    body["params"] = msgspec.json.decode(read_input(params))
    job = await client.post(STEM, body)
    if wait:
        async with client.events(f"{STEM}/{job['id']}/events") as events:
            async for event in events:
                if event["kind"] in _LAST:
                    break
        job = await client.get(f"{STEM}/{job['id']}")
    if as_json:
        print_json(job)
    else:
        _tell(job)
    if wait and job["status"] != JobStatus.COMPLETED:
        raise Unsuccessful
    if not wait and client.offline and job["status"] not in _ENDED:
        hint("no daemon runs: the job begins when one is started")


@group.command("list", example="alloyd job list --status failed --limit 20")
@click.option("--status", type=click.Choice([status.value for status in JobStatus]), help="Only jobs that stand so.")
@click.option("--modality", help="Only jobs of this modality.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many at most.")
@org_option
@json_option
@live()
async def list_jobs(client: Client, status: str | None, modality: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    found = await client.list_pages(STEM, {"status": status, "modality": modality}, limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            job["id"],
            job["modality"],
            job["model"],
            job["status"],
            format_time(job["created_at"]),
            format_time(job["ended_at"]),
        )
        for job in found
    ]
    print_table(("ID", "MODALITY", "MODEL", "STATUS", "CREATED", "ENDED"), rows)


@group.command("show", example="alloyd job show 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11")
@click.argument("job")
@org_option
@json_option
@live()
async def show_job(client: Client, job: str, as_json: bool) -> None:
    """Show a job, what it asks for and what it gave."""
    found = await client.get(f"{STEM}/{segment(job)}")
    if as_json:
        print_json(found)
        return
    plain = ("id", "modality", "model", "provider_id", "status", "created_at", "started_at", "ended_at")
    fields = {name: found[name] for name in plain}
    fields |= {name: json_text(found[name], indent=None) for name in ("input", "params", "output", "error", "usage")}
    print_fields(fields)


@group.command("watch", example="alloyd job watch 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11")
@click.argument("job")
@org_option
@json_option
@live()
async def watch_job(client: Client, job: str, as_json: bool) -> None:
    """Follow a job, a line an event, to its end; exit code 1 unless it completes. One under way needs the daemon."""
    found = await client.get(f"{STEM}/{segment(job)}")
    if client.offline and found["status"] not in _ENDED:
        raise NoDaemon(f"the job is {found['status']}, and no daemon runs that would go on with it")
    last = None
    async with client.events(f"{STEM}/{found['id']}/events") as events:
        async for event in events:
            last = event["kind"]
            if as_json:
                print_json_line(event)
            else:
                say(event_line(event))
    if last not in _LAST and found["status"] not in _ENDED:
        raise NoDaemon("the daemon has stopped; the job goes on when it is started again")
    if "job.failed" in (last, f"job.{found['status']}"):
        raise Unsuccessful


@group.command("cancel", example="alloyd job cancel 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11")
@click.argument("job")
@org_option
@json_option
@live()
async def cancel_job(client: Client, job: str, as_json: bool) -> None:
    """End a job now; it has failed then, as cancelled."""
    ended = await client.post(f"{STEM}/{segment(job)}/cancel")
    if as_json:
        print_json(ended)
    else:
        _tell(ended)


def _tell(job: dict[str, Any]) -> None:
    say(f"job {job['id']} {job['status']}")
    if job["output"] is not None:
        print_json(job["output"])
    if job["error"] is not None:
        hint(f"{job['error'].get('code')}: {job['error'].get('message')}")
