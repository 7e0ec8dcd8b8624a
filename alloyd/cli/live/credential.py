"""`alloyd credential`: accounts at other applications. What they hold is read from stdin and never shown."""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from alloyd.cli.client import Client, segment
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import confirm, format_time, print_fields, print_json, print_table, say

STEM: Final = "/v1/credentials"
CLIENTS: Final = f"{STEM}/oauth/clients"
SECRET_LINE_CHARS_MAX: Final = 20_000
_ID: Final = "0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11"
# The field that the line on stdin is.
_FIELD: Final = {"api_key": "api_key", "bearer": "token", "basic": "password", "oauth2": "access_token"}

group = Group(
    "credential",
    help="Credentials for connectors.",
    example="alloyd credential create --connector slack --kind bearer < token.txt",
)


@group.command("create", example="alloyd credential create --org acme --connector slack --kind bearer < token.txt")
@click.option("--connector", required=True, help="A connector's name.")
@click.option("--kind", required=True, type=click.Choice(sorted(_FIELD)), help="One of those the connector takes.")
@click.option("--username", help="For --kind basic.")
@click.option("--label", help="What it is called; the connector's title unless given.")
@click.option("--setting", "settings", multiple=True, metavar="NAME=VALUE", help="May be repeated; such as shop=acme.")
@click.option("--end-user", "end_user_id", help="The end user whose account it is.")
@org_option
@json_option
@live()
async def create_credential(
    client: Client,
    as_json: bool,
    kind: str,
    username: str | None,
    settings: tuple[str, ...],
    **given: Any,
) -> None:
    """Make a credential. Its secret is the first line of stdin, or is asked for without being shown."""
    if (kind == "basic") != (username is not None):
        raise click.UsageError("--username goes with --kind basic, and is needed there")
    data = {_FIELD[kind]: _read_secret()} | ({} if username is None else {"username": username})
    body = {name: value for name, value in given.items() if value is not None}
    made = await client.post(STEM, {**body, "kind": kind, "data": data, "settings": _pairs(settings)})
    if as_json:
        print_json(made)
    else:
        say(f"credential {made['id']} ({made['connector']}, {made['label']})")


@group.command("list", example="alloyd credential list --org acme --connector slack")
@click.option("--connector", help="Only those for this connector.")
@click.option("--end-user", "end_user_id", help="Only those of this end user.")
@org_option
@json_option
@live()
async def list_credentials(client: Client, as_json: bool, **given: Any) -> None:
    """List credentials, newest first; never what they hold."""
    found = await client.list_pages(STEM, {name: value for name, value in given.items() if value is not None})
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["id"],
            one["connector"],
            one["label"],
            one["kind"],
            one["end_user_id"] or "",
            one["status"],
            format_time(one["last_used_at"]),
        )
        for one in found
    ]
    print_table(("ID", "CONNECTOR", "LABEL", "KIND", "END USER", "STATUS", "LAST USED"), rows)


@group.command("show", example=f"alloyd credential show {_ID}")
@click.argument("credential")
@org_option
@json_option
@live()
async def show_credential(client: Client, credential: str, as_json: bool) -> None:
    """Show one credential by its id; never what it holds."""
    found = await client.get(f"{STEM}/{segment(credential)}")
    if as_json:
        print_json(found)
    else:
        settings = ", ".join(f"{name}={value}" for name, value in found["settings"].items())
        print_fields({**found, "settings": settings})


@group.command("delete", example=f"alloyd credential delete {_ID} --yes")
@click.argument("credential")
@click.option("--yes", is_flag=True, help="Do not ask.")
@org_option
@json_option
@live()
async def delete_credential(client: Client, credential: str, yes: bool, as_json: bool) -> None:
    """Delete a credential."""
    confirm(f"Delete the credential {credential}?", yes=yes)
    gone = await client.delete(f"{STEM}/{segment(credential)}")
    if as_json:
        print_json(gone)
    else:
        say(f"{credential} is deleted")


@group.command("list-clients", example="alloyd credential list-clients --org acme")
@org_option
@json_option
@live()
async def list_clients(client: Client, as_json: bool) -> None:
    """List the OAuth clients that accounts are connected with, one a connector; never their secrets."""
    found = await client.get(CLIENTS)
    if as_json:
        print_json(found)
        return
    rows = [
        (one["connector"], one["client_id"], "sealed" if one["has_secret"] else "none", format_time(one["updated_at"]))
        for one in found
    ]
    print_table(("CONNECTOR", "CLIENT ID", "SECRET", "SET"), rows)


@group.command("delete-client", example="alloyd credential delete-client github --org acme --yes")
@click.argument("connector")
@click.option("--yes", is_flag=True, help="Do not ask.")
@org_option
@json_option
@live()
async def delete_client(client: Client, connector: str, yes: bool, as_json: bool) -> None:
    """Forget the OAuth client for a connector. Accounts that are connected stay so; another needs a client again."""
    confirm(f"Forget the OAuth client for {connector}?", yes=yes)
    gone = await client.delete(f"{CLIENTS}/{segment(connector)}")
    if as_json:
        print_json(gone)
    else:
        say(f"the client for {connector} is forgotten")


@group.command("rotate-key", example="alloyd credential rotate-key")
@json_option
@live()
async def rotate_key(client: Client, as_json: bool) -> None:
    """Seal every secret of the installation anew, under a new key. Make a backup after: the old one has the old key."""
    rotated = await client.post("/operator/sealing-key/rotate")
    if as_json:
        print_json(rotated)
    else:
        say(f"key {rotated['key_id']} seals now; {rotated['credentials']} credentials and clients were sealed anew")


def _read_secret() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Secret", hide_input=True, err=True))
    return sys.stdin.readline(SECRET_LINE_CHARS_MAX).rstrip("\r\n")


def _pairs(settings: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError("--setting: NAME=VALUE is wanted")
        found[name] = value
    return found
