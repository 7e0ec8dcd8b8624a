"""`alloyd user`: who may sign in."""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from alloyd.cli.client import Client, segment
from alloyd.cli.offline import live
from alloyd.cli.options import Group, check_org, json_option
from alloyd.cli.output import format_time, print_json, print_table, say
from alloyd.domain.orgs.model import DEFAULT_SLUG
from alloyd.principal import Role

STEM = "/operator/users"
PASSWORD_LINE_CHARS_MAX: Final = 4096

group = Group("user", help="Users.", example="alloyd user create --email ada@example.com --org acme --role admin")

_from_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from the first line of stdin.")


def read_password(*, from_stdin: bool) -> str:
    """The password that is typed twice without being shown, or the first line of stdin."""
    if from_stdin:
        return sys.stdin.readline(PASSWORD_LINE_CHARS_MAX).rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("a password is asked for on a terminal only; here give --password-stdin")
    entered: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return entered


@group.command("create", example="alloyd user create --email ada@example.com --org acme --role admin")
@click.option("--email", required=True, help="E-mail address to sign in with.")
@click.option(
    "--org",
    "named",
    metavar="ORG",
    default=DEFAULT_SLUG,
    show_default=True,
    callback=check_org,
    help="Organization, by id or slug.",
)
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default="member",
    show_default=True,
    help="Standing there.",
)
@click.option("--name", help="Name for people.")
@click.option("--platform-admin", is_flag=True, help="May read what goes beyond one organization.")
@_from_stdin
@json_option
@live()
async def create_user(client: Client, as_json: bool, password_stdin: bool, named: str, **given: Any) -> None:
    """Make a user, member of one organization; asks for the password."""
    body = {
        "email": given["email"],
        "organization": named,
        "role": given["role"],
        "display_name": given["name"],
        "platform_admin": given["platform_admin"],
        "password": read_password(from_stdin=password_stdin),
    }
    made = await client.post(STEM, body)
    _show(made, as_json, f"{made['id']}  {made['email']}")


@group.command("list", example="alloyd user list --org acme")
@click.option("--org", "named", metavar="ORG", callback=check_org, help="Of this organization only, by id or slug.")
@json_option
@live()
async def list_users(client: Client, named: str | None, as_json: bool) -> None:
    """List users, newest first, disabled ones too."""
    found = await client.list_pages(STEM, {"organization": named})
    if as_json:
        print_json(found)
        return
    rows = [
        (
            user["id"],
            user["email"],
            user["display_name"],
            "yes" if user["platform_admin"] else "",
            format_time(user["disabled_at"]),
        )
        for user in found
    ]
    print_table(("ID", "EMAIL", "NAME", "PLATFORM ADMIN", "DISABLED"), rows)


@group.command("passwd", example="alloyd user passwd ada@example.com")
@click.argument("user")
@_from_stdin
@json_option
@live()
async def set_password(client: Client, user: str, password_stdin: bool, as_json: bool) -> None:
    """Set a user's password; USER is an id or e-mail."""
    body = {"password": read_password(from_stdin=password_stdin)}
    changed = await client.post(f"{STEM}/{segment(user)}/password", body)
    _show(changed, as_json, f"the password of {changed['email']} is set")


@group.command("disable", example="alloyd user disable ada@example.com")
@click.argument("user")
@json_option
@live()
async def disable_user(client: Client, user: str, as_json: bool) -> None:
    """Shut a user out; USER is an id or e-mail."""
    disabled = await client.post(f"{STEM}/{segment(user)}/disable")
    _show(disabled, as_json, f"{disabled['email']} is disabled")


def _show(user: Any, as_json: bool, line: str) -> None:
    if as_json:
        print_json(user)
    else:
        say(line)
