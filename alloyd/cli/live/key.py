"""`alloyd key`: the API keys of an organization."""

from __future__ import annotations

from typing import Any

import click

from alloyd.cli.client import Client, segment
from alloyd.cli.live.teammate import find_teammate_id
from alloyd.cli.offline import live
from alloyd.cli.options import DURATION, Group, json_option, org_option
from alloyd.cli.output import format_time, hint, print_fields, print_json, print_table, say
from alloyd.kit.clock import Clock, rfc3339
from alloyd.principal import Role

STEM = "/v1/api-keys"

group = Group("key", help="API keys.", example="alloyd key create --org acme --name ci --scope private --expires 90d")


@group.command("create", example="alloyd key create --org acme --name ci --scope private --expires 90d")
@click.option("--name", required=True, help="What the key is for.")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="May be repeated; else private and control.")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default="member",
    show_default=True,
    help="What it may do.",
)
@click.option("--expires", type=DURATION, help="When the key ends, from now: 90d, 12h; else never.")
@click.option("--teammate", help="Bind it to this teammate, by name or id: it opens its channel and nothing else.")
@click.option("--description", help="More about it.")
@org_option
@json_option
@live()
async def create_key(client: Client, as_json: bool, expires: int | None, scopes: tuple[str, ...], **given: Any) -> None:
    """Make a key. The raw key, alone on stdout, is shown this once."""
    body = {
        "name": given["name"],
        "role": given["role"],
        "description": given["description"],
        "scopes": list(scopes) or None,
        "teammate_id": None if given["teammate"] is None else await find_teammate_id(client, given["teammate"]),
        "expires_at": None if expires is None else rfc3339(Clock().now_ms() + expires),
    }
    _show_raw(await client.post(STEM, body), as_json)


@group.command("list", example="alloyd key list --org acme")
@org_option
@json_option
@live()
async def list_keys(client: Client, as_json: bool) -> None:
    """List keys, newest first, ended ones too; never the raw keys."""
    found = await client.list_pages(STEM)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            key["id"],
            key["prefix"],
            key["name"],
            key["status"],
            key["role"],
            ",".join(key["scopes"]),
            format_time(key["expires_at"]),
            format_time(key["last_used_at"]),
        )
        for key in found
    ]
    print_table(("ID", "PREFIX", "NAME", "STATUS", "ROLE", "SCOPES", "EXPIRES", "LAST USED"), rows)


@group.command("show", example="alloyd key show 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11")
@click.argument("key")
@org_option
@json_option
@live()
async def show_key(client: Client, key: str, as_json: bool) -> None:
    """Show one key by its id; never the raw key."""
    found = await client.get(f"{STEM}/{segment(key)}")
    if as_json:
        print_json(found)
    else:
        print_fields({**found, "scopes": ", ".join(found["scopes"])})


@group.command("disable", example="alloyd key disable 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11")
@click.argument("key")
@org_option
@json_option
@live()
async def disable_key(client: Client, key: str, as_json: bool) -> None:
    """Stop a key at once."""
    _show(await client.post(f"{STEM}/{segment(key)}/disable"), as_json)


@group.command("revoke", example="alloyd key revoke 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11")
@click.argument("key")
@org_option
@json_option
@live()
async def revoke_key(client: Client, key: str, as_json: bool) -> None:
    """End a key at once and for good."""
    _show(await client.delete(f"{STEM}/{segment(key)}"), as_json)


@group.command("rotate", example="alloyd key rotate 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11 --grace 24h")
@click.argument("key")
@click.option("--grace", type=DURATION, default=0, help="How long the old key works on; else it ends at once.")
@org_option
@json_option
@live()
async def rotate_key(client: Client, key: str, grace: int, as_json: bool) -> None:
    """Replace a key by a new one like it. The raw key, alone on stdout, is shown this once."""
    _show_raw(await client.post(f"{STEM}/{segment(key)}/rotate", {"grace_ms": grace}), as_json)


def _show_raw(issued: Any, as_json: bool) -> None:
    if as_json:
        print_json(issued)
        return
    hint(f"key {issued['id']} ({issued['name']}, {issued['role']}, {', '.join(issued['scopes'])})")
    hint("The raw key is shown only this once; keep it.")
    say(issued["key"])


def _show(key: Any, as_json: bool) -> None:
    if as_json:
        print_json(key)
    else:
        say(f"{key['prefix']} ({key['name']}) is {key['status']}")
