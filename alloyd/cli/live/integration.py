"""`alloyd integration`: workflows that are offered to end users, grouped by app."""

from __future__ import annotations

from typing import Any, Final

import click

from alloyd.cli.client import Client, segment
from alloyd.cli.live.workflow import find_workflow_id
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import confirm, print_fields, print_json, print_table, say
from alloyd.domain.integrations.model import ID_PREFIX

STEM: Final = "/v1/integrations"

group = Group(
    "integration",
    help="Integrations.",
    example="alloyd integration create --slug shopify --name Shopify --category E-Commerce",
)

_integration = click.argument("integration", metavar="INTEGRATION")


def path_of(named: str) -> str:
    """Where the integration of that slug or id is."""
    return f"{STEM}/{segment(named if named.startswith(ID_PREFIX) else ID_PREFIX + named)}"


@group.command("create", example="alloyd integration create --slug shopify --name Shopify --category E-Commerce")
@click.option("--slug", required=True, help="Short name, a-z, 0-9 and -; the id is int_ and the slug.")
@click.option("--name", help="Name for people; else the slug.")
@click.option("--category", help="What it is listed under.")
@click.option("--icon-url", help="An absolute URL.")
@click.option("--description", help="A line about it.")
@org_option
@json_option
@live()
async def create_integration(client: Client, slug: str, name: str | None, as_json: bool, **fields: str | None) -> None:
    """Make an integration."""
    made = await client.post(STEM, {"slug": slug, "name": name or slug, **fields})
    _tell(made, as_json, f"{made['id']}  {made['name']}")


@group.command("list", example="alloyd integration list --org acme")
@org_option
@json_option
@live()
async def list_integrations(client: Client, as_json: bool) -> None:
    """List integrations, newest first."""
    found = await client.list_pages(STEM)
    if as_json:
        print_json(found)
    else:
        rows = [(one["id"], one["name"], one["category"] or "-") for one in found]
        print_table(("ID", "NAME", "CATEGORY"), rows)


@group.command("show", example="alloyd integration show shopify --org acme")
@_integration
@org_option
@json_option
@live()
async def show_integration(client: Client, integration: str, as_json: bool) -> None:
    """Show an integration, by slug or id, with its workflows."""
    found = await client.get(path_of(integration))
    workflows = await client.list_pages(f"{path_of(integration)}/workflows")
    if as_json:
        print_json({**found, "workflows": workflows})
        return
    print_fields(found)
    say()
    print_table(("WORKFLOW", "NAME"), [(one["workflow_id"], one["name"]) for one in workflows])


@group.command("update", example="alloyd integration update shopify --category Shops --org acme")
@_integration
@click.option("--name", help="Another name for people.")
@click.option("--category", help="Another category; an empty one takes it away.")
@click.option("--icon-url", help="Another URL; an empty one takes it away.")
@click.option("--description", help="Another line about it; an empty one takes it away.")
@org_option
@json_option
@live()
async def update_integration(client: Client, integration: str, as_json: bool, **fields: str | None) -> None:
    """Change an integration. Its slug stays."""
    changed = {name: value for name, value in fields.items() if value is not None}
    if not changed:
        raise click.UsageError("give --name, --category, --icon-url or --description")
    updated = await client.patch(path_of(integration), changed)
    _tell(updated, as_json, f"{updated['id']}  {updated['name']}")


@group.command("delete", example="alloyd integration delete shopify --org acme --yes")
@_integration
@click.option("--yes", is_flag=True, help="Do not ask.")
@org_option
@json_option
@live()
async def delete_integration(client: Client, integration: str, yes: bool, as_json: bool) -> None:
    """Delete an integration. Its workflows stay, and so do their installations."""
    confirm(f"Delete the integration {integration}?", yes=yes)
    gone = await client.delete(path_of(integration))
    _tell(gone, as_json, f"{gone['id']} is deleted")


@group.command("add-workflow", example="alloyd integration add-workflow shopify order-sync --org acme")
@_integration
@click.argument("workflow")
@org_option
@json_option
@live()
async def add_workflow(client: Client, integration: str, workflow: str, as_json: bool) -> None:
    """Put a workflow, by name or id, into an integration."""
    added = await client.post(f"{path_of(integration)}/workflows", {"workflow_id": workflow})
    _tell(added, as_json, f"{added['name']} is in {added['integration_id']}")


@group.command("remove-workflow", example="alloyd integration remove-workflow shopify order-sync --org acme")
@_integration
@click.argument("workflow")
@org_option
@json_option
@live()
async def remove_workflow(client: Client, integration: str, workflow: str, as_json: bool) -> None:
    """Take a workflow, by name or id, out of an integration. Its installations stay."""
    workflow_id = await find_workflow_id(client, workflow)
    gone = await client.delete(f"{path_of(integration)}/workflows/{segment(workflow_id)}")
    _tell(gone, as_json, f"{gone['name']} is not in {gone['integration_id']} any more")


def _tell(answer: Any, as_json: bool, line: str) -> None:
    if as_json:
        print_json(answer)
    else:
        say(line)
