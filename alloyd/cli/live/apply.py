"""`alloyd apply`: makes things as declared files say; the same files again change nothing."""

from __future__ import annotations

from typing import Any

import click

from alloyd.cli.client import Client, segment
from alloyd.cli.declared import Present, Step, read_declared
from alloyd.cli.documents import Document
from alloyd.cli.errors import Refused, Unsuccessful, refused
from alloyd.cli.live.integration import path_of
from alloyd.cli.live.workflow import find_workflow_id
from alloyd.cli.offline import live
from alloyd.cli.options import Command, json_option, org_option
from alloyd.cli.output import hint, print_json, say, say_raw
from alloyd.errors import Code


@click.command("apply", cls=Command, example="alloyd apply -f ./automation --dry-run\nalloyd apply -f order-sync.yaml")
@click.option("-f", "--file", required=True, metavar="DIR-or-FILE", help="YAML or JSON, or a folder; - for stdin.")
@click.option("--dry-run", is_flag=True, help="Show the difference and change nothing.")
@org_option
@json_option
@live()
async def command(client: Client, file: str, dry_run: bool, as_json: bool) -> None:
    """Make organizations, workflows, integrations, teammates, schedules and webhooks as files declare them.

    Each document has a `kind`: Organization, Workflow, Integration, Teammate, Schedule or Webhook. What is there
    already is known by its slug, its name, its slug, its name, its name and workflow, its URL. Everything is checked
    before anything is changed; what is not declared stays as it is.
    """
    documents = read_declared(file)
    if await _report_faults(client, documents):
        raise Unsuccessful
    present = Present(client)
    steps = [await present.plan(document) for document in documents]
    _check_workflows(steps, {there["name"] for there in await present.list_all("/v1/workflow-definitions")})
    results = [await _take(client, step, dry_run=dry_run) for step in steps]
    if as_json:
        print_json(results)
        return
    for step, result in zip(steps, results, strict=True):
        would = dry_run and step.what != "unchanged"
        say(f"{step.kind} {step.name}: {'would be ' if would else ''}{result['result']}")
        if dry_run and step.difference:
            say_raw("".join(f"  {line}\n" for line in step.difference.splitlines()))
        secret = result.get("secret")
        if secret:
            hint(f"the secret of {step.name}, shown only this once: {secret}")


async def _report_faults(client: Client, documents: list[Document]) -> bool:
    """Tells every fault of a workflow on stderr; whether there are any."""
    faulty = False
    for document in documents:
        if document.value["kind"] != "Workflow":
            continue
        content = {name: value for name, value in document.value.items() if name not in ("kind", "release")}
        for fault in (await client.post("/v1/workflow-definitions/check", content))["faults"]:
            faulty = True
            hint(f"{document.place(fault['path'])}: {fault['path']}: {fault['message']}")
    return faulty


def _check_workflows(steps: list[Step], known: set[str]) -> None:
    """What a schedule, an integration or a teammate names is there, or will be by then."""
    known = known | {step.name for step in steps if step.kind == "Workflow"}
    for step in steps:
        named = [("workflow", step.workflow)] if step.workflow is not None else []
        named.extend(("workflows", name) for name in step.workflows or ())
        named.extend(step.tools)
        for field, name in named:
            if name not in known:
                place = step.document.place(field)
                raise refused(Code.NOT_FOUND, f"{place}: {field}: there is no workflow {name!r}")


async def _take(client: Client, step: Step, *, dry_run: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": step.kind, "name": step.name, "result": step.what}
    if dry_run:
        return {**told, "difference": step.difference}
    if not step.method:
        return told
    body = dict(step.body)
    if step.workflow is not None and step.method == "POST":
        body["workflow_id"] = await find_workflow_id(client, step.workflow)
    try:
        done = await _send(client, step, body)
        if step.workflows is not None:
            await _set_workflows(client, path_of(done["id"]), step.workflows)
    except Refused as error:
        raise Refused(error.code, f"{step.document.place()}: {error.message}", error.details) from None
    told["id"] = done["id"]
    if step.method == "PUT":
        told["result"] = "changed" if done["changed"] or not step.perhaps else "unchanged"
    if step.kind == "Webhook" and done.get("secret"):
        told["secret"] = done["secret"]
    return told


async def _send(client: Client, step: Step, body: dict[str, Any]) -> Any:
    if step.method != "PATCH":
        return await client.post(step.path, body)
    return await client.patch(step.path, body) if body else await client.get(step.path)


async def _set_workflows(client: Client, path: str, names: tuple[str, ...]) -> None:
    """Make the workflows of the integration at ``path`` those of ``names``."""
    there = {one["name"]: one["workflow_id"] for one in await client.list_pages(f"{path}/workflows")}
    for name in names:
        if name not in there:
            await client.post(f"{path}/workflows", {"workflow_id": await find_workflow_id(client, name)})
    for name, workflow_id in there.items():
        if name not in names:
            await client.delete(f"{path}/workflows/{segment(workflow_id)}")
