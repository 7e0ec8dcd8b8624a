"""`alloyd usage`: what billable calls used, and what may be spent."""

from __future__ import annotations

from typing import Any, Final

import click

from alloyd.cli.client import Client
from alloyd.cli.live.team import find_organization_id
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import format_time, print_fields, print_json, print_table, say

_BREAKDOWNS: Final = ("provider", "model", "workflow", "job", "key", "principal", "day")
_FROM = "From this time or date on; else from the beginning of the month."

group = Group("usage", help="Usage and budgets.", example="alloyd usage show --org acme --by model")


async def _stem(client: Client) -> str:
    """The path of the organization that the command is for."""
    return f"/v1/organizations/{await find_organization_id(client)}"


@group.command("show", example="alloyd usage show --org acme --from 2026-01-01 --by model --by day")
@click.option("--from", "from_", metavar="TIME", help=_FROM)
@click.option("--to", metavar="TIME", help="Before this time or date; else until now.")
@click.option("--by", type=click.Choice(_BREAKDOWNS), multiple=True, help="Break down; may be given several times.")
@org_option
@json_option
@live()
async def show_usage(client: Client, from_: str | None, to: str | None, by: tuple[str, ...], as_json: bool) -> None:
    """Show totals and breakdowns."""
    report = await client.get(f"{await _stem(client)}/usage", {"from": from_, "to": to})
    if as_json:
        print_json(report)
        return
    print_fields({"from": report["from"], "to": report["to"], **report["totals"]})
    for name in by:
        say()
        rows = [(line["id"] or "(other)", *_sums(line)) for line in report[f"by_{name}"]]
        print_table((name.upper(), "CALLS", "FAILED", "TOKENS IN", "TOKENS OUT", "USD"), rows)


@group.command("records", example="alloyd usage records --org acme --limit 20")
@click.option("--from", "from_", metavar="TIME", help=_FROM)
@click.option("--to", metavar="TIME", help="Before this time or date; else until now.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many at most.")
@org_option
@json_option
@live()
async def list_records(client: Client, from_: str | None, to: str | None, limit: int, as_json: bool) -> None:
    """List billable calls, newest first."""
    found = await client.list_pages(f"{await _stem(client)}/usage/records", {"from": from_, "to": to}, limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            format_time(record["created_at"]),
            record["provider"],
            record["model"],
            record["status"],
            record["input_tokens"],
            record["output_tokens"],
            _usd(record["cost_usd"]),
            record["job_id"] or record["workflow_run_id"],
        )
        for record in found
    ]
    print_table(("TIME", "PROVIDER", "MODEL", "STATUS", "TOKENS IN", "TOKENS OUT", "USD", "JOB OR RUN"), rows)


@group.command("budget", example="alloyd usage budget --org acme")
@org_option
@json_option
@live()
async def show_budget(client: Client, as_json: bool) -> None:
    """Show the organization's budget, and what is left of it."""
    budget = await client.get(f"{await _stem(client)}/budget")
    if as_json:
        print_json(budget)
    else:
        print_fields({name: "none" if value is None else value for name, value in budget.items()})


def _sums(line: dict[str, Any]) -> tuple[Any, ...]:
    return line["calls"], line["failed"], line["input_tokens"], line["output_tokens"], _usd(line["cost_usd"])


def _usd(amount: float) -> str:
    return f"{amount:.6f}"
