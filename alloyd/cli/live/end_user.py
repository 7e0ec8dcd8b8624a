"""`alloyd end-user`: for whom an organization runs workflows in its own product."""

from __future__ import annotations

from typing import Any, Final

import click

from alloyd.cli.client import Client, segment
from alloyd.cli.errors import refused
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import confirm, format_time, print_fields, print_json, print_table, say
from alloyd.domain.endusers.model import is_end_user_id
from alloyd.errors import Code

STEM: Final = "/v1/end-users"

group = Group("end-user", help="End users.", example="alloyd end-user create ann@example.com --org acme")

_user = click.argument("user", metavar="USER")


async def find_end_user_id(client: Client, named: str) -> str:
    """The id of the end user of that username or id. Raises Refused when there is none."""
    if is_end_user_id(named):
        return named
    for user in await client.get(STEM, {"username": named}):
        return str(user["id"])
    raise refused(Code.NOT_FOUND, f"there is no end user {named!r} in this organization")


@group.command("create", example="alloyd end-user create ann@example.com --full-name 'Ann Smith' --org acme")
@click.argument("username")
@click.option("--full-name", help="Name for people.")
@org_option
@json_option
@live()
async def create_user(client: Client, username: str, full_name: str | None, as_json: bool) -> None:
    """Make an end user."""
    made = await client.post(STEM, {"username": username, "full_name": full_name})
    _tell(made, as_json, f"{made['id']}  {made['username']}")


@group.command("list", example="alloyd end-user list --org acme")
@org_option
@json_option
@live()
async def list_users(client: Client, as_json: bool) -> None:
    """List end users, newest first."""
    found = await client.list_pages(STEM)
    if as_json:
        print_json(found)
        return
    rows = [(one["id"], one["username"], one["full_name"] or "-", format_time(one["created_at"])) for one in found]
    print_table(("ID", "USERNAME", "FULL NAME", "CREATED"), rows)


@group.command("show", example="alloyd end-user show ann@example.com --org acme")
@_user
@org_option
@json_option
@live()
async def show_user(client: Client, user: str, as_json: bool) -> None:
    """Show an end user, by username or id."""
    found = await client.get(f"{STEM}/{segment(await find_end_user_id(client, user))}")
    if as_json:
        print_json(found)
    else:
        print_fields(found)


@group.command("update", example="alloyd end-user update ann@example.com --username ann --org acme")
@_user
@click.option("--username", help="Another username.")
@click.option("--full-name", help="Another name for people; an empty one takes it away.")
@org_option
@json_option
@live()
async def update_user(client: Client, user: str, as_json: bool, **fields: str | None) -> None:
    """Give an end user another username, another full name, or both."""
    changed = {name: value for name, value in fields.items() if value is not None}
    if not changed:
        raise click.UsageError("give --username, --full-name, or both")
    updated = await client.patch(f"{STEM}/{segment(await find_end_user_id(client, user))}", changed)
    _tell(updated, as_json, f"{updated['id']}  {updated['username']}")


@group.command("delete", example="alloyd end-user delete ann@example.com --org acme --yes")
@_user
@click.option("--yes", is_flag=True, help="Do not ask.")
@org_option
@json_option
@live()
async def delete_user(client: Client, user: str, yes: bool, as_json: bool) -> None:
    """Delete an end user: the tokens end, and all that the user has installed is removed."""
    confirm(f"Delete the end user {user} with all installations?", yes=yes)
    gone = await client.delete(f"{STEM}/{segment(await find_end_user_id(client, user))}")
    _tell(gone, as_json, f"{gone['username']} is deleted")


def _tell(answer: Any, as_json: bool, line: str) -> None:
    if as_json:
        print_json(answer)
    else:
        say(line)
