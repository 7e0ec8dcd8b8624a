"""`alloyd connector`: what workflows can ask other applications for."""

from __future__ import annotations

from typing import Final

import click

from alloyd.cli.client import Client, segment
from alloyd.cli.documents import read_documents
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import confirm, hint, print_fields, print_json, print_table, say

STEM: Final = "/v1/connectors"

group = Group("connector", help="Connectors: actions of other applications.", example="alloyd connector show slack")


@group.command("list", example="alloyd connector list")
@org_option
@json_option
@live()
async def list_connectors(client: Client, as_json: bool) -> None:
    """List the connectors that come with alloyd, then the organization's own."""
    found = await client.get(STEM)
    if as_json:
        print_json(found)
        return
    rows = [(one["name"], one["title"], ",".join(one["auth"]), str(len(one["actions"]))) for one in found]
    print_table(("NAME", "TITLE", "CREDENTIALS", "ACTIONS"), rows)


@group.command("show", example="alloyd connector show slack")
@click.argument("connector")
@org_option
@json_option
@live()
async def show_connector(client: Client, connector: str, as_json: bool) -> None:
    """Show a connector by its name or id, with what its actions take (* is required)."""
    found = await client.get(f"{STEM}/{segment(connector)}")
    if as_json:
        print_json(found)
        return
    fields = {name: found[name] for name in ("id", "name", "title", "reference", "base_url")}
    print_fields(fields | {"auth": ", ".join(found["auth"]), "settings": ", ".join(found["settings"])})
    hint("")
    print_table(("ACTION", "REQUEST", "PARAMS"), [_row(action) for action in found["action_schemas"]])


@group.command("save", example="alloyd connector save -f own-crm.yaml --org acme")
@click.option("-f", "--file", required=True, metavar="FILE", help="JSON or YAML; - for stdin.")
@org_option
@json_option
@live()
async def save_connectors(client: Client, file: str, as_json: bool) -> None:
    """Make or replace connectors of the organization's own; their names begin with own-."""
    documents = read_documents(file)
    saved = [await client.post(STEM, {"definition": document.value}) for document in documents]
    if as_json:
        print_json(saved[0] if len(saved) == 1 else saved)
        return
    for one in saved:
        say(f"{one['name']}: {len(one['actions'])} actions")


@group.command("delete", example="alloyd connector delete own-crm --org acme --yes")
@click.argument("connector")
@click.option("--yes", is_flag=True, help="Do not ask.")
@org_option
@json_option
@live()
async def delete_connector(client: Client, connector: str, yes: bool, as_json: bool) -> None:
    """Delete one of the organization's own connectors. Steps that ask it for something fail from then on."""
    confirm(f"Delete the connector {connector}?", yes=yes)
    gone = await client.delete(f"{STEM}/{segment(connector)}")
    if as_json:
        print_json(gone)
    else:
        say(f"{connector} is deleted")


def _row(action: dict[str, object]) -> tuple[str, str, str]:
    schema = action["params"]
    assert isinstance(schema, dict)
    names = [f"{name}*" if name in schema["required"] else name for name in schema["properties"]]
    return str(action["key"]), f"{action['method']} {action['path']}", ", ".join(names)
