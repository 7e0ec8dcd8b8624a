"""`alloyd webhook`: where an organization's events are sent, and how that went."""

from __future__ import annotations

from typing import Any, Final

import click

from alloyd.cli.client import Client, segment
from alloyd.cli.offline import live
from alloyd.cli.options import DURATION, Group, json_option, org_option
from alloyd.cli.output import confirm, format_time, hint, print_fields, print_json, print_table, say

STEM: Final = "/v1/webhooks"
DELIVERIES: Final = "/v1/webhook-deliveries"
_ID: Final = "0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11"

group = Group(
    "webhook",
    help="Outgoing webhooks.",
    example="alloyd webhook create --url https://example.com/hook --event 'order.*'",
)


@group.command(
    "create",
    example="alloyd webhook create --org acme --url https://example.com/hook --event 'order.*' --event user.created",
)
@click.option("--url", required=True, help="Where the events are sent.")
@click.option("--event", "events", multiple=True, required=True, metavar="KIND", help="May be repeated; order.*, or *.")
@click.option("--description", help="More about it.")
@click.option("--disabled", is_flag=True, help="Not to be used yet.")
@org_option
@json_option
@live()
async def create_webhook(client: Client, as_json: bool, events: tuple[str, ...], disabled: bool, **given: Any) -> None:
    """Make a webhook. Its secret, alone on stdout, is shown this once."""
    body = {
        "url": given["url"],
        "events": list(events),
        "description": given["description"],
        "enabled": not disabled,
    }
    _show_secret(await client.post(STEM, body), as_json)


@group.command("list", example="alloyd webhook list --org acme")
@org_option
@json_option
@live()
async def list_webhooks(client: Client, as_json: bool) -> None:
    """List webhooks, newest first; never their secrets."""
    found = await client.list_pages(STEM)
    if as_json:
        print_json(found)
        return
    rows = [
        (one["id"], one["url"], ",".join(one["events"]), _state(one), format_time(one["failing_since"]))
        for one in found
    ]
    print_table(("ID", "URL", "EVENTS", "STATE", "FAILING SINCE"), rows)


@group.command("show", example=f"alloyd webhook show {_ID}")
@click.argument("webhook")
@org_option
@json_option
@live()
async def show_webhook(client: Client, webhook: str, as_json: bool) -> None:
    """Show one webhook by its id; never its secret."""
    found = await client.get(f"{STEM}/{segment(webhook)}")
    if as_json:
        print_json(found)
    else:
        print_fields({**found, "events": ", ".join(found["events"])})


@group.command("update", example=f"alloyd webhook update {_ID} --event '*' --enable")
@click.argument("webhook")
@click.option("--url", help="Where the events are sent from now on.")
@click.option(
    "--event", "events", multiple=True, metavar="KIND", help="May be repeated; takes the place of all before."
)
@click.option("--description", help="More about it.")
@click.option(
    "--enable/--disable", "enabled", default=None, help="Whether it is used; disabling cancels what is pending."
)
@org_option
@json_option
@live()
async def update_webhook(client: Client, webhook: str, as_json: bool, events: tuple[str, ...], **given: Any) -> None:
    """Change a webhook: only what is named."""
    body = {name: value for name, value in given.items() if value is not None}
    if events:
        body["events"] = list(events)
    changed = await client.patch(f"{STEM}/{segment(webhook)}", body)
    if as_json:
        print_json(changed)
    else:
        say(f"{changed['url']} is {_state(changed)}")


@group.command("rotate", example=f"alloyd webhook rotate {_ID} --grace 24h")
@click.argument("webhook")
@click.option("--grace", type=DURATION, help="How long the former secret signs too; a day unless given.")
@org_option
@json_option
@live()
async def rotate_webhook(client: Client, webhook: str, grace: int | None, as_json: bool) -> None:
    """Replace a webhook's secret. The new one, alone on stdout, is shown this once."""
    _show_secret(await client.post(f"{STEM}/{segment(webhook)}/rotate-secret", {"grace_ms": grace}), as_json)


@group.command("test", example=f"alloyd webhook test {_ID}")
@click.argument("webhook")
@org_option
@json_option
@live()
async def test_webhook(client: Client, webhook: str, as_json: bool) -> None:
    """Send a webhook.test to a webhook; `alloyd webhook deliveries` tells how it went."""
    _show_delivery(await client.post(f"{STEM}/{segment(webhook)}/test"), as_json)


@group.command("delete", example=f"alloyd webhook delete {_ID} --yes")
@click.argument("webhook")
@click.option("--yes", is_flag=True, help="Do not ask.")
@org_option
@json_option
@live()
async def delete_webhook(client: Client, webhook: str, yes: bool, as_json: bool) -> None:
    """Delete a webhook; what is pending for it is cancelled."""
    confirm(f"Delete the webhook {webhook}?", yes=yes)
    gone = await client.delete(f"{STEM}/{segment(webhook)}")
    if as_json:
        print_json(gone)
    else:
        say(f"{webhook} is deleted")


@group.command("deliveries", example=f"alloyd webhook deliveries {_ID} --state failed")
@click.argument("webhook")
@click.option("--state", type=click.Choice(["pending", "delivered", "failed", "cancelled"]), help="Only these.")
@click.option("--kind", help="Only those of events of this kind.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The newest so many.")
@org_option
@json_option
@live()
async def list_deliveries(
    client: Client, webhook: str, as_json: bool, limit: int, state: str | None, kind: str | None
) -> None:
    """List what was sent to a webhook, newest first."""
    query = {name: value for name, value in (("state", state), ("kind", kind)) if value is not None}
    found = await client.list_pages(f"{STEM}/{segment(webhook)}/deliveries", query, limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["id"],
            one["kind"],
            one["state"],
            str(one["attempt_count"]),
            _last_word(one),
            format_time(one["created_at"]),
            format_time(one["next_attempt_at"]),
        )
        for one in found
    ]
    print_table(("ID", "KIND", "STATE", "ATTEMPTS", "LAST ANSWER", "CREATED", "NEXT ATTEMPT"), rows)


@group.command("redeliver", example=f"alloyd webhook redeliver {_ID}")
@click.argument("delivery")
@org_option
@json_option
@live()
async def redeliver(client: Client, delivery: str, as_json: bool) -> None:
    """Send a delivery again, under its own id."""
    _show_delivery(await client.post(f"{DELIVERIES}/{segment(delivery)}/redeliver"), as_json)


def _show_secret(issued: Any, as_json: bool) -> None:
    if as_json:
        print_json(issued)
        return
    hint(f"webhook {issued['id']} ({issued['url']}, {', '.join(issued['events'])})")
    hint("The secret is shown only this once; keep it.")
    say(issued["secret"])


def _show_delivery(delivery: Any, as_json: bool) -> None:
    if as_json:
        print_json(delivery)
    else:
        say(f"delivery {delivery['id']} ({delivery['kind']}) is {delivery['state']}")


def _state(webhook: Any) -> str:
    return "enabled" if webhook["enabled"] else f"disabled ({webhook['disabled_reason']})"


def _last_word(delivery: Any) -> str:
    if not delivery["attempts"]:
        return ""
    last = delivery["attempts"][-1]
    return str(last["status"] or last["error"])
