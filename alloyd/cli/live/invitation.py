"""`alloyd invitation`: asking people into an organization."""

from __future__ import annotations

from typing import Any, Final

import click

from alloyd.cli.client import Client, segment
from alloyd.cli.live.team import find_team_id
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import format_time, hint, print_fields, print_json, print_table, say
from alloyd.principal import Role

STEM: Final = "/v1/invitations"

group = Group(
    "invitation",
    help="Invitations.",
    example="alloyd invitation create --org acme --email ada@example.com --role admin",
)


@group.command("create", example="alloyd invitation create --org acme --email ada@example.com --role admin")
@click.option("--email", required=True, help="Who is invited.")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default="member",
    show_default=True,
    help="Standing in the organization.",
)
@click.option("--team", help="Into this team too, by slug or id.")
@org_option
@json_option
@live()
async def create_invitation(client: Client, email: str, role: str, team: str | None, as_json: bool) -> None:
    """Invite somebody. The token to accept with, alone on stdout, is shown this once."""
    team_id = None if team is None else await find_team_id(client, team)
    made = await client.post(STEM, {"email": email, "role": role, "team_id": team_id})
    if as_json:
        print_json(made)
        return
    hint(f"invitation {made['id']} ({made['email']}, {made['role']}), until {format_time(made['expires_at'])}")
    hint("The user of that e-mail accepts it without the token. The token is shown only this once; keep it.")
    say(made["token"])


@group.command("list", example="alloyd invitation list --org acme")
@org_option
@json_option
@live()
async def list_invitations(client: Client, as_json: bool) -> None:
    """List invitations, newest first, ended ones too; never the tokens."""
    found = await client.list_pages(STEM)
    if as_json:
        print_json(found)
        return
    rows = [
        (each["id"], each["email"], each["role"], each["status"], format_time(each["expires_at"])) for each in found
    ]
    print_table(("ID", "EMAIL", "ROLE", "STATUS", "EXPIRES"), rows)


@group.command("show", example="alloyd invitation show 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11")
@click.argument("invitation")
@org_option
@json_option
@live()
async def show_invitation(client: Client, invitation: str, as_json: bool) -> None:
    """Show one invitation by its id; never the token."""
    found = await client.get(f"{STEM}/{segment(invitation)}")
    if as_json:
        print_json(found)
    else:
        print_fields(found)


@group.command("revoke", example="alloyd invitation revoke 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11")
@click.argument("invitation")
@org_option
@json_option
@live()
async def revoke_invitation(client: Client, invitation: str, as_json: bool) -> None:
    """End a pending invitation."""
    gone: Any = await client.post(f"{STEM}/{segment(invitation)}/revoke")
    if as_json:
        print_json(gone)
    else:
        say(f"the invitation of {gone['email']} is {gone['status']}")
