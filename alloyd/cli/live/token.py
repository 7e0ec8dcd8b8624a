"""`alloyd token`: tokens with which users call the control plane."""

from __future__ import annotations

import click

from alloyd.cli.client import Client
from alloyd.cli.offline import live
from alloyd.cli.options import DURATION, Group, check_org, json_option
from alloyd.cli.output import hint, print_json, say

STEM = "/operator/tokens"

group = Group("token", help="Tokens of users.", example="alloyd token issue ada@example.com --org acme --ttl 8h")


@group.command("issue", example="alloyd token issue ada@example.com --org acme --ttl 8h")
@click.argument("user")
@click.option(
    "--org",
    "named",
    metavar="ORG",
    callback=check_org,
    help="Where it acts, by id or slug; else the organization that the user joined first.",
)
@click.option("--ttl", type=DURATION, help="How long it lives: 15m, 8h; else as configured.")
@json_option
@live()
async def issue_token(client: Client, user: str, named: str | None, ttl: int | None, as_json: bool) -> None:
    """Issue a JWT for a user without a password; USER is an id or e-mail. It stands alone on stdout."""
    body = {"user": user, "organization": named, "ttl_s": None if ttl is None else -(-ttl // 1000)}
    issued = await client.post(STEM, body)
    if as_json:
        print_json(issued)
        return
    hint(f"it ends in {issued['expires_in']} seconds, or when the password changes or the user is disabled")
    say(issued["access_token"])
