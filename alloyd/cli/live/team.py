"""`alloyd team`: the teams of an organization."""

from __future__ import annotations

from typing import Any, Final

import click

from alloyd.cli.client import Client, segment
from alloyd.cli.errors import refused
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import confirm, print_json, print_table, say
from alloyd.errors import Code
from alloyd.kit.ids import is_uuid
from alloyd.principal import Role

STEM: Final = "/v1/teams"

group = Group("team", help="Teams.", example="alloyd team create --org acme --slug core --name Core")

_role = click.option(
    "--role", type=click.Choice([role.value for role in Role]), help="A role of their own in the team; else none."
)


async def find_organization_id(client: Client) -> str:
    """The id of the organization that a command works in."""
    return str((await client.get("/v1/me"))["organization_id"])


async def find_team_id(client: Client, named: str) -> str:
    """The id of the team of that slug or id. Raises Refused when there is none."""
    if is_uuid(named):
        return named
    for team in await list_all(client):
        if team["slug"] == named:
            return str(team["id"])
    raise refused(Code.NOT_FOUND, f"there is no team {named!r} in this organization")


async def find_member_id(client: Client, named: str) -> str:
    """The id of the organization's member of that id or e-mail. Raises Refused when there is none."""
    if is_uuid(named):
        return named
    org_id = await find_organization_id(client)
    for member in await client.list_pages(f"/v1/organizations/{segment(org_id)}/members"):
        if member["email"] == named.strip().lower():
            return str(member["user_id"])
    raise refused(Code.NOT_FOUND, f"there is no member {named!r} in this organization")


async def list_all(client: Client) -> list[Any]:
    """All teams of the organization, newest first."""
    return await client.list_pages(f"/v1/organizations/{segment(await find_organization_id(client))}/teams")


@group.command("create", example="alloyd team create --org acme --slug core --name Core")
@click.option("--slug", required=True, help="Short name, a-z, 0-9 and -; unique in the organization.")
@click.option("--name", help="Name for people; else the slug.")
@org_option
@json_option
@live()
async def create_team(client: Client, slug: str, name: str | None, as_json: bool) -> None:
    """Make a team."""
    made = await client.post(STEM, {"slug": slug, "name": name or slug})
    _show(made, as_json, f"{made['id']}  {made['slug']}")


@group.command("list", example="alloyd team list --org acme")
@org_option
@json_option
@live()
async def list_teams(client: Client, as_json: bool) -> None:
    """List teams, newest first."""
    found = await list_all(client)
    if as_json:
        print_json(found)
    else:
        print_table(("ID", "SLUG", "NAME"), [(team["id"], team["slug"], team["name"]) for team in found])


@group.command("rename", example="alloyd team rename core --org acme --name Kernel")
@click.argument("team")
@click.option("--slug", help="The new slug.")
@click.option("--name", help="The new name.")
@org_option
@json_option
@live()
async def rename_team(client: Client, team: str, slug: str | None, name: str | None, as_json: bool) -> None:
    """Give a team another slug, another name, or both."""
    if slug is None and name is None:
        raise click.UsageError("give --slug, --name, or both")
    changed = {key: value for key, value in (("slug", slug), ("name", name)) if value is not None}
    renamed = await client.patch(f"{STEM}/{segment(await find_team_id(client, team))}", changed)
    _show(renamed, as_json, f"{renamed['slug']}  {renamed['name']}")


@group.command("delete", example="alloyd team delete core --org acme --yes")
@click.argument("team")
@click.option("--yes", is_flag=True, help="Do not ask.")
@org_option
@json_option
@live()
async def delete_team(client: Client, team: str, yes: bool, as_json: bool) -> None:
    """Delete a team. Its members stay in the organization; pending invitations into it end."""
    confirm(f"Delete the team {team}?", yes=yes)
    gone = await client.delete(f"{STEM}/{segment(await find_team_id(client, team))}")
    _show(gone, as_json, f"{gone['slug']} is deleted")


@group.command("members", example="alloyd team members core --org acme")
@click.argument("team")
@org_option
@json_option
@live()
async def list_members(client: Client, team: str, as_json: bool) -> None:
    """List who is in a team."""
    found = await client.list_pages(f"{STEM}/{segment(await find_team_id(client, team))}/members")
    if as_json:
        print_json(found)
        return
    rows = [(each["user_id"], each["email"], each["role"], each["team_role"] or "-") for each in found]
    print_table(("USER", "EMAIL", "ROLE", "OF THE TEAM"), rows)


@group.command("add", example="alloyd team add core ada@example.com --org acme --role admin")
@click.argument("team")
@click.argument("user")
@_role
@org_option
@json_option
@live()
async def add_member(client: Client, team: str, user: str, role: str | None, as_json: bool) -> None:
    """Make a member of the organization, by e-mail or id, one of a team; or give them another role there."""
    path = f"{STEM}/{segment(await find_team_id(client, team))}/members"
    added = await client.post(path, {"user_id": await find_member_id(client, user), "role": role})
    _show(added, as_json, f"{added['email']} is {added['role']} in the team")


@group.command("remove", example="alloyd team remove core ada@example.com --org acme")
@click.argument("team")
@click.argument("user")
@org_option
@json_option
@live()
async def remove_member(client: Client, team: str, user: str, as_json: bool) -> None:
    """Take a member, by e-mail or id, out of a team."""
    team_id, user_id = await find_team_id(client, team), await find_member_id(client, user)
    gone = await client.delete(f"{STEM}/{segment(team_id)}/members/{segment(user_id)}")
    _show(gone, as_json, f"{gone['email']} is not in the team any more")


def _show(answer: Any, as_json: bool, line: str) -> None:
    if as_json:
        print_json(answer)
    else:
        say(line)
