"""`alloyd org`: the organizations of this installation."""

from __future__ import annotations

from typing import Any

import click

from alloyd.cli.client import Client, segment
from alloyd.cli.offline import live
from alloyd.cli.options import Group, check_org, json_option
from alloyd.cli.output import confirm, format_time, print_fields, print_json, print_table, say

STEM = "/operator/organizations"

group = Group("org", help="Organizations.", example="alloyd org create --slug acme --name 'Acme Ltd'")


@group.command("create", example="alloyd org create --slug acme --name 'Acme Ltd'")
@click.option("--slug", required=True, help="Short name for commands and addresses: a-z, 0-9 and -.")
@click.option("--name", help="Name for people; the slug without.")
@json_option
@live()
async def create_org(client: Client, slug: str, name: str | None, as_json: bool) -> None:
    """Make an organization."""
    made = await client.post(STEM, {"slug": slug, "name": slug if name is None else name})
    _show(made, as_json, f"{made['id']}  {made['slug']}")


@group.command("list", example="alloyd org list --json")
@json_option
@live()
async def list_orgs(client: Client, as_json: bool) -> None:
    """List organizations, newest first, archived ones too."""
    found = await client.list_pages(STEM)
    if as_json:
        print_json(found)
        return
    rows = [
        (org["id"], org["slug"], org["name"], format_time(org["created_at"]), format_time(org["archived_at"]))
        for org in found
    ]
    print_table(("ID", "SLUG", "NAME", "CREATED", "ARCHIVED"), rows)


@group.command("show", example="alloyd org show acme")
@click.argument("named", metavar="ORG", callback=check_org)
@json_option
@live()
async def show_org(client: Client, named: str, as_json: bool) -> None:
    """Show one organization, by id or slug."""
    org = await client.get(f"{STEM}/{segment(named)}")
    if as_json:
        print_json(org)
    else:
        print_fields(org)


@group.command("rename", example="alloyd org rename acme --slug acme-eu --name 'Acme Europe'")
@click.argument("named", metavar="ORG", callback=check_org)
@click.option("--slug", help="New short name.")
@click.option("--name", help="New name for people.")
@json_option
@live()
async def rename_org(client: Client, named: str, slug: str | None, name: str | None, as_json: bool) -> None:
    """Give an organization another slug, another name, or both."""
    if slug is None and name is None:
        raise click.UsageError("give --slug, --name or both")
    renamed = await client.patch(f"{STEM}/{segment(named)}", {"slug": slug, "name": name})
    _show(renamed, as_json, f"{renamed['id']}  {renamed['slug']}  {renamed['name']}")


@group.command("archive", example="alloyd org archive acme --yes")
@click.argument("named", metavar="ORG", callback=check_org)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@live()
async def archive_org(client: Client, named: str, yes: bool, as_json: bool) -> None:
    """End an organization: its keys stop at once and for good, nothing of it runs any more."""
    confirm(f"Archive the organization {named}? Its keys stop working at once and for good.", yes=yes)
    archived = await client.post(f"{STEM}/{segment(named)}/archive")
    _show(archived, as_json, f"{archived['slug']} is archived")


def _show(org: Any, as_json: bool, line: str) -> None:
    if as_json:
        print_json(org)
    else:
        say(line)
