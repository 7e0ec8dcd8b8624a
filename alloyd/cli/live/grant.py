"""`alloyd grant`: what single members and keys may do beyond, or short of, their roles."""

from __future__ import annotations

from typing import Any, Final

import click

from alloyd.cli.client import Client, segment
from alloyd.cli.live.team import find_member_id
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import print_json, print_table, say

STEM: Final = "/v1/grants"

group = Group("grant", help="Grants.", example="alloyd grant deny ada@example.com 'workflow.*' --org acme")

_on = click.option("--on", "resource", metavar="TYPE:ID", help="On this resource only, as workflow:<id> or workflow:*.")


async def _find_principal(client: Client, named: str) -> str:
    """A member by e-mail; ids, alone or behind user: or api_key:, are taken as they are."""
    return await find_member_id(client, named) if "@" in named else named


async def _create(client: Client, effect: str, principal: str, action: str, resource: str | None) -> Any:
    whom = await _find_principal(client, principal)
    return await client.post(STEM, {"principal": whom, "action": action, "effect": effect, "resource": resource})


@group.command("allow", example="alloyd grant allow ada@example.com workflow.run --on 'workflow:*' --org acme")
@click.argument("principal")
@click.argument("action")
@_on
@org_option
@json_option
@live()
async def allow(client: Client, principal: str, action: str, resource: str | None, as_json: bool) -> None:
    """Allow a member (e-mail or id) or a key (id) an action beyond their role. It holds at once."""
    _show(await _create(client, "allow", principal, action, resource), as_json)


@group.command("deny", example="alloyd grant deny ada@example.com 'workflow.*' --org acme")
@click.argument("principal")
@click.argument("action")
@_on
@org_option
@json_option
@live()
async def deny(client: Client, principal: str, action: str, resource: str | None, as_json: bool) -> None:
    """Deny a member (e-mail or id) or a key (id) an action, whatever else allows it. It holds at once."""
    _show(await _create(client, "deny", principal, action, resource), as_json)


@group.command("list", example="alloyd grant list --principal ada@example.com --org acme")
@click.option("--principal", help="Only of this member (e-mail or id) or key (id).")
@org_option
@json_option
@live()
async def list_grants(client: Client, principal: str | None, as_json: bool) -> None:
    """List grants, newest first."""
    whom = None if principal is None else await _find_principal(client, principal)
    found = await client.list_pages(STEM, {"principal": whom})
    if as_json:
        print_json(found)
        return
    rows = [
        (each["id"], each["effect"], each["principal"], each["action"], each["resource"] or "any") for each in found
    ]
    print_table(("ID", "EFFECT", "PRINCIPAL", "ACTION", "ON"), rows)


@group.command("delete", example="alloyd grant delete 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11")
@click.argument("grant")
@org_option
@json_option
@live()
async def delete_grant(client: Client, grant: str, as_json: bool) -> None:
    """Take a grant back. It holds at once."""
    gone = await client.delete(f"{STEM}/{segment(grant)}")
    if as_json:
        print_json(gone)
    else:
        say(f"{_line(gone)} does not hold any more")


def _show(made: Any, as_json: bool) -> None:
    if as_json:
        print_json(made)
    else:
        say(f"{made['id']}  {_line(made)}")


def _line(grant: Any) -> str:
    on = f" on {grant['resource']}" if grant["resource"] else ""
    return f"{grant['effect']} {grant['principal']} {grant['action']}{on}"
