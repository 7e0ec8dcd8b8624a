"""`alloyd workflow`: workflow definitions."""

from __future__ import annotations

from typing import Any, Final

import click

from alloyd.cli.client import Client, segment
from alloyd.cli.documents import Document, read_documents, to_yaml
from alloyd.cli.errors import Unsuccessful, refused
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import (
    confirm,
    format_time,
    hint,
    print_fields,
    print_json,
    print_table,
    say,
    say_raw,
    to_json,
)
from alloyd.errors import Code
from alloyd.kit.ids import is_uuid

STEM: Final = "/v1/workflow-definitions"

group = Group("workflow", help="Workflows.", example="alloyd workflow apply -f order-sync.yaml")

_file = click.option("-f", "--file", required=True, metavar="FILE", help="JSON or YAML; - for stdin.")


async def find_workflow_id(client: Client, named: str) -> str:
    """The id of the workflow of that name or id. Raises Refused when there is none."""
    if is_uuid(named):
        return named
    for workflow in await client.list_pages(STEM):
        if workflow["name"] == named:
            return str(workflow["id"])
    raise refused(Code.NOT_FOUND, f"there is no workflow {named!r} in this organization")


async def list_names(client: Client) -> dict[str, str]:
    """Names by id."""
    return {workflow["id"]: workflow["name"] for workflow in await client.list_pages(STEM)}


@group.command("apply", example="alloyd workflow apply -f order-sync.yaml --org acme")
@_file
@org_option
@json_option
@live()
async def apply_workflows(client: Client, file: str, as_json: bool) -> None:
    """Save definitions, each as the next version of the workflow of its name; the same content changes nothing.

    A file may hold several documents. With a fault in any of them nothing is saved.
    """
    documents = _definitions(file)
    if await _report_faults(client, documents):
        raise Unsuccessful
    saved = [await client.post(STEM, document.value) for document in documents]
    if as_json:
        print_json(saved[0] if len(saved) == 1 else saved)
        return
    for one in saved:
        say(
            f"{one['name']}: {'version' if one['changed'] else 'unchanged, version'} {one['version']} ({one['status']})"
        )


@group.command("release", example="alloyd workflow release order-sync 1.0.0 --version 3")
@click.argument("workflow")
@click.argument("label")
@click.option("--version", type=click.IntRange(min=1), help="Which version; the newest published without.")
@org_option
@json_option
@live()
async def release_workflow(client: Client, workflow: str, label: str, version: int | None, as_json: bool) -> None:
    """Give a version a name for good; the same name for the same version changes nothing."""
    workflow_id = await find_workflow_id(client, workflow)
    body = {"release": label} if version is None else {"release": label, "version": version}
    released = await client.post(f"{STEM}/{segment(workflow_id)}/releases", body)
    if as_json:
        print_json(released)
    else:
        say(f"{workflow}: {released['release']} is version {released['version']}")


@group.command("releases", example="alloyd workflow releases order-sync")
@click.argument("workflow")
@org_option
@json_option
@live()
async def list_releases(client: Client, workflow: str, as_json: bool) -> None:
    """List the names of a workflow's versions, newest first."""
    found = await client.get(f"{STEM}/{segment(await find_workflow_id(client, workflow))}/releases")
    if as_json:
        print_json(found)
    else:
        rows = [(one["release"], one["version"], format_time(one["created_at"])) for one in found]
        print_table(("RELEASE", "VERSION", "CREATED"), rows)


@group.command("validate", example="alloyd workflow validate -f order-sync.yaml")
@_file
@org_option
@json_option
@live()
async def validate_workflows(client: Client, file: str, as_json: bool) -> None:
    """Check definitions as publishing them would, without saving; every fault is told with its place."""
    documents = _definitions(file)
    if as_json:
        checked = [await client.post(f"{STEM}/check", document.value) for document in documents]
        print_json(checked[0] if len(checked) == 1 else checked)
        faulty = not all(one["valid"] for one in checked)
    else:
        faulty = await _report_faults(client, documents)
    if faulty:
        raise Unsuccessful
    if not as_json:
        for document in documents:
            say(f"{document.name}: valid")


@group.command("list", example="alloyd workflow list --org acme")
@org_option
@json_option
@live()
async def list_workflows(client: Client, as_json: bool) -> None:
    """List workflows, newest first."""
    found = await client.list_pages(STEM)
    if as_json:
        print_json(found)
        return
    rows = [
        (workflow["id"], workflow["name"], workflow["version"], workflow["status"], format_time(workflow["updated_at"]))
        for workflow in found
    ]
    print_table(("ID", "NAME", "VERSION", "STATUS", "UPDATED"), rows)


_version = click.option("--version", type=click.IntRange(min=1), help="Which version; the newest without.")


@group.command("show", example="alloyd workflow show order-sync --version 2")
@click.argument("workflow")
@_version
@org_option
@json_option
@live()
async def show_workflow(client: Client, workflow: str, version: int | None, as_json: bool) -> None:
    """Show a workflow, by name or id, with the content of one version."""
    found = await _get(client, workflow, version)
    if as_json:
        print_json(found)
        return
    print_fields({name: value for name, value in found.items() if name not in ("definition", "changed")})
    say()
    say_raw(to_yaml(found["definition"]))


@group.command("export", example="alloyd workflow export order-sync --format yaml > order-sync.yaml")
@click.argument("workflow")
@_version
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="How.")
@org_option
@live()
async def export_workflow(client: Client, workflow: str, version: int | None, form: str) -> None:
    """Print a definition as `apply` takes it."""
    definition = (await _get(client, workflow, version))["definition"]
    say_raw(to_yaml(definition) if form == "yaml" else to_json(definition) + "\n")


@group.command("delete", example="alloyd workflow delete order-sync --yes")
@click.argument("workflow")
@click.option("--yes", is_flag=True, help="Do not ask.")
@org_option
@json_option
@live()
async def delete_workflow(client: Client, workflow: str, yes: bool, as_json: bool) -> None:
    """Take a workflow out of use, by name or id; runs that are under way end on their version."""
    workflow_id = await find_workflow_id(client, workflow)
    confirm(f"Delete the workflow {workflow}?", yes=yes)
    deleted = await client.delete(f"{STEM}/{segment(workflow_id)}")
    if as_json:
        print_json(deleted)
    else:
        say(f"{workflow} is deleted")


async def _get(client: Client, named: str, version: int | None) -> Any:
    workflow_id = await find_workflow_id(client, named)
    return await client.get(f"{STEM}/{segment(workflow_id)}", {"version": version})


def _definitions(file: str) -> list[Document]:
    """The workflows in ``file``; a `kind` beside them has to say so, and is not part of the definition."""
    documents = read_documents(file)
    for document in documents:
        kind = document.value.pop("kind", "Workflow")
        if kind != "Workflow":
            raise refused(Code.BAD_REQUEST, f"{document.place()}: kind: Workflow is wanted, not {kind!r}")
    return documents


async def _report_faults(client: Client, documents: list[Document]) -> bool:
    """Tells every fault on stderr; whether there are any."""
    faulty = False
    for document in documents:
        checked = await client.post(f"{STEM}/check", document.value)
        for fault in checked["faults"]:
            faulty = True
            hint(f"{document.place(fault['path'])}: {fault['path']}: {fault['message']}")
    return faulty
