"""`alloyd install`: end users' copies of workflows."""

from __future__ import annotations

from typing import Any, Final

import click
import msgspec

from alloyd.cli.client import Client, segment
from alloyd.cli.errors import refused
from alloyd.cli.live.end_user import find_end_user_id
from alloyd.cli.live.run import read_input
from alloyd.cli.live.workflow import find_workflow_id, list_names
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import confirm, print_fields, print_json, print_table, say, to_json
from alloyd.domain.integrations.model import LATEST
from alloyd.errors import Code

STEM: Final = "/v1/installations"

group = Group("install", help="Installations.", example="alloyd install create ann@example.com order-sync --org acme")

_user = click.argument("user", metavar="USER")
_workflow = click.argument("workflow", metavar="WORKFLOW")


async def _find(client: Client, user: str, workflow: str) -> Any:
    query = {
        "end_user_id": await find_end_user_id(client, user),
        "workflow_id": await find_workflow_id(client, workflow),
    }
    for one in await client.get(STEM, query):
        return one
    raise refused(Code.NOT_FOUND, f"{user!r} has not installed {workflow!r}")


async def _change(client: Client, user: str, workflow: str, body: dict[str, Any]) -> Any:
    found = await _find(client, user, workflow)
    return await client.patch(f"{STEM}/{segment(found['id'])}", body)


@group.command("create", example="alloyd install create ann@example.com order-sync --release 1.0.0 --org acme")
@_user
@_workflow
@click.option("--release", default=LATEST, show_default=True, help="A numbered release of the workflow.")
@click.option("--configuration", default="{}", help="A JSON object; @FILE or - reads it.")
@click.option("--inactive", is_flag=True, help="Nothing starts it until it is activated.")
@org_option
@json_option
@live()
async def create_installation(
    client: Client, user: str, workflow: str, release: str, configuration: str, inactive: bool, as_json: bool
) -> None:
    """Install a workflow, by name or id, for an end user, by username or id."""
    body = {
        "end_user_id": user,
        "workflow_id": workflow,
        "version": release,
        "configuration": msgspec.Raw(read_input(configuration, "--configuration")),
        "active": not inactive,
    }
    _tell(await client.post(STEM, body), as_json)


@group.command("list", example="alloyd install list --user ann@example.com --org acme")
@click.option("--user", help="Only those of this end user, by username or id.")
@click.option("--workflow", help="Only those of this workflow, by name or id.")
@org_option
@json_option
@live()
async def list_installations(client: Client, user: str | None, workflow: str | None, as_json: bool) -> None:
    """List installations, newest first."""
    query = {
        "end_user_id": None if user is None else await find_end_user_id(client, user),
        "workflow_id": None if workflow is None else await find_workflow_id(client, workflow),
    }
    found = await client.list_pages(STEM, query)
    if as_json:
        print_json(found)
        return
    names = await list_names(client) if found else {}
    rows = [
        (
            one["id"],
            one["end_user_id"],
            names.get(one["workflow_id"], one["workflow_id"]),
            one["release"],
            one["event"] or "-",
            _state(one),
        )
        for one in found
    ]
    print_table(("ID", "USER", "WORKFLOW", "RELEASE", "EVENT", "STATE"), rows)


@group.command("show", example="alloyd install show ann@example.com order-sync --org acme")
@_user
@_workflow
@org_option
@json_option
@live()
async def show_installation(client: Client, user: str, workflow: str, as_json: bool) -> None:
    """Show what an end user has of a workflow."""
    found = await _find(client, user, workflow)
    if as_json:
        print_json(found)
    else:
        print_fields({**found, "configuration": to_json(found["configuration"], indent=None)})


@group.command("activate", example="alloyd install activate ann@example.com order-sync --org acme")
@_user
@_workflow
@org_option
@json_option
@live()
async def activate_installation(client: Client, user: str, workflow: str, as_json: bool) -> None:
    """Let events start an installed workflow."""
    _tell(await _change(client, user, workflow, {"active": True}), as_json)


@group.command("deactivate", example="alloyd install deactivate ann@example.com order-sync --org acme")
@_user
@_workflow
@org_option
@json_option
@live()
async def deactivate_installation(client: Client, user: str, workflow: str, as_json: bool) -> None:
    """Let nothing start an installed workflow. Runs that wait go on waiting."""
    _tell(await _change(client, user, workflow, {"active": False}), as_json)


@group.command(
    "configure", example="""alloyd install configure ann@example.com order-sync '{"shop": "a"}' --org acme"""
)
@_user
@_workflow
@click.argument("configuration")
@org_option
@json_option
@live()
async def configure_installation(client: Client, user: str, workflow: str, configuration: str, as_json: bool) -> None:
    """Give an installed workflow another configuration: a JSON object; @FILE or - reads it."""
    given = msgspec.Raw(read_input(configuration, "CONFIGURATION"))
    _tell(await _change(client, user, workflow, {"configuration": given}), as_json)


@group.command("upgrade", example="alloyd install upgrade ann@example.com order-sync --release 2.0.0 --org acme")
@_user
@_workflow
@click.option("--release", default=LATEST, show_default=True, help="A numbered release of the workflow.")
@org_option
@json_option
@live()
async def upgrade_installation(client: Client, user: str, workflow: str, release: str, as_json: bool) -> None:
    """Move an installed workflow to a newer release. Configuration and state stay."""
    _tell(await _change(client, user, workflow, {"version": release}), as_json)


@group.command("remove", example="alloyd install remove ann@example.com order-sync --org acme --yes")
@_user
@_workflow
@click.option("--yes", is_flag=True, help="Do not ask.")
@org_option
@json_option
@live()
async def remove_installation(client: Client, user: str, workflow: str, yes: bool, as_json: bool) -> None:
    """Uninstall a workflow for an end user."""
    confirm(f"Uninstall {workflow} for {user}?", yes=yes)
    found = await _find(client, user, workflow)
    gone = await client.delete(f"{STEM}/{segment(found['id'])}")
    if as_json:
        print_json(gone)
    else:
        say(f"{gone['id']}  removed")


def _state(one: Any) -> str:
    return "active" if one["active"] else "inactive"


def _tell(one: Any, as_json: bool) -> None:
    if as_json:
        print_json(one)
    else:
        say(f"{one['id']}  {one['release']}  {_state(one)}")
