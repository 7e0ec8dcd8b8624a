"""Sample data of embedded integrations and teams, for looking at their pages."""

from __future__ import annotations

from typing import Any

from tests.app import Served

MARKUP = '<img src=x onerror="alert(1)"> & <b>bold</b>'
WAITS = {"key": "wait", "operation": "workflow.wait_event", "config": {"event": "go"}}


async def fill_embedded(served: Served, key: str) -> dict[str, str]:
    """Some of everything in the organization of ``key``; ids by the kind of thing."""

    async def post(path: str, status: int = 201, **body: Any) -> Any:
        return await served.data("POST", path, body, status, key=key)

    flow = await publish(served, key, "order-sync", "1.0.0")
    again = await publish(served, key, "order-sync", "1.1.0", "workflow.noop")
    other = await publish(served, key, MARKUP, "1.0.0")
    for slug, name in (("shopify", "Shopify"), ("crm", MARKUP)):
        more = {"category": "E-Commerce", "description": "Orders, products and customers of a shop."}
        await post("/integrations", slug=slug, name=name, **more)
    for workflow in (flow, other):
        await post("/integrations/int_shopify/workflows", workflow_id=workflow)
    users = [
        (await post("/end-users", username=name, full_name=full))["id"]
        for name, full in (("ann@example.com", "Ann Smith"), ("bea@example.com", None), (MARKUP, MARKUP))
    ]
    assert again == flow
    await post("/installations", end_user_id=users[0], workflow_id=flow, version="1.0.0", configuration={"shop": "ann"})
    await post("/installations", end_user_id=users[1], workflow_id=flow, active=False)
    await post("/installations", end_user_id=users[2], workflow_id=other)
    await post("/credentials", connector="slack", kind="bearer", data={"token": "xoxb-secret"}, label="Team chat")
    await post(
        "/credentials", connector="github", kind="bearer", data={"token": "ghp"}, label=MARKUP, end_user_id=users[0]
    )
    team = (await post("/teams", slug="core", name=MARKUP))["id"]
    members = await served.data("GET", f"/organizations/{await org_of(served, key)}/members", key=key)
    for member in members[:1]:
        await post(f"/teams/{team}/members", user_id=member["user_id"], role="admin")
        await post("/grants", principal=f"user:{member['user_id']}", action="workflow.run", effect="allow")
        resource = "asset:0198c1de-0000-7000-8000-000000000000"
        await post("/grants", principal=member["user_id"], action="asset.*", effect="deny", resource=resource)
    return {"integration": "int_shopify", "end_user": users[0], "connector": "slack", "team": team}


async def publish(served: Served, key: str, name: str, release: str, *operations: str) -> str:
    """A workflow that an event starts and that waits, released; its id. Each of ``operations`` is one further step."""
    nodes: list[dict[str, Any]] = [WAITS, *({"key": f"s{n}", "operation": each} for n, each in enumerate(operations))]
    definition = {"name": name, "nodes": nodes, "trigger": {"type": "event", "event": "order.created"}}
    saved = await served.data("POST", "/workflow-definitions", definition, 201, key=key)
    path = f"/workflow-definitions/{saved['id']}/releases"
    await served.data("POST", path, {"release": release}, 201, key=key)
    workflow: str = saved["id"]
    return workflow


async def org_of(served: Served, key: str) -> str:
    """The organization that a key acts for."""
    (own,) = await served.data("GET", "/me/organizations", key=key)
    org: str = own["id"]
    return org
