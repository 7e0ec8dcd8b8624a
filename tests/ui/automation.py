"""Workflows and runs to look at: every state of a run, a graph with branches and items, schedules, dead letters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from alloyd.principal import system_principal
from tests.app import Served

ME = "me"  # the key's name for `Served.ask`: an owner of the organization `default`, where the signed-in user is
MARKUP = "<img src=x onerror=alert(1)>"
GREETED = {
    "type": "object",
    "required": ["name", "times"],
    "properties": {
        "name": {"type": "string", "title": "Name", "description": "Who is greeted", "minLength": 2},
        "times": {"type": "integer", "minimum": 1, "maximum": 9, "default": 1},
        "loud": {"type": "boolean"},
        "tone": {"enum": ["warm", "dry"]},
        "extra": {"type": "object"},
    },
}


def step(key: str, operation: str = "workflow.noop", **more: Any) -> dict[str, Any]:
    """A node of a definition."""
    return {"key": key, "operation": operation, **more}


def transform(key: str, *after: str, **values: Any) -> dict[str, Any]:
    """A step whose output is ``values``."""
    return step(key, "transform", config={"values": values}, depends_on=list(after))


ORDERS = [
    step("check", "workflow.branch", config={"condition": "trigger.lines"}),
    step(
        "lines",
        "workflow.foreach",
        depends_on=["check.then"],
        config={
            "items": "trigger.lines",
            "nodes": [transform("price", total="{{ item * 2 }}"), transform("tax", "price", tax="{{ item }}")],
        },
    ),
    transform("refuse", "check.else", refused=True),
    transform("invoice", "lines", text="{{ trigger.note ?? 'none' }}"),
    transform("label", "lines", text="label"),
    step("archive", "workflow.fan_in", depends_on=["invoice", "label", "check.then"]),
]


@dataclass
class Automation:
    """Makes workflows and runs in the organization `default`."""

    served: Served
    ids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first = self.served.app.first_key
        assert first is not None
        assert first.issued.raw is not None
        self.served.keys[ME] = first.issued.raw

    async def publish(self, name: str, *nodes: dict[str, Any], **more: Any) -> str:
        """Save a workflow; its id."""
        body = {"name": name, "nodes": list(nodes), **more}
        saved = await self.served.data("POST", "/workflow-definitions", body, status=201, key=ME)
        self.ids[name] = saved["id"]
        return str(saved["id"])

    async def start(self, workflow_id: str, payload: dict[str, Any] | None = None) -> str:
        """Start a run; its id."""
        body = {"workflow_definition_id": workflow_id, "context": payload or {}}
        run = await self.served.data("POST", "/workflow-runs", body, status=201, key=ME)
        await self.served.data("POST", f"/workflow-runs/{run['id']}/start", status=202, key=ME)
        return str(run["id"])

    async def ended(self, run_id: str) -> dict[str, Any]:
        """The run once it has ended."""
        while True:
            run: dict[str, Any] = await self.served.data("GET", f"/workflow-runs/{run_id}", key=ME)
            if run["status"] in ("completed", "failed", "cancelled"):
                return run
            await self.served.app.runs.wait(system_principal(run["organization_id"]), run_id, 5)

    async def fill(self) -> None:
        """Some of everything."""
        orders = await self.publish("orders", *ORDERS, description="Prices what comes in.")
        self.ids["run"] = await self.start(orders, {"lines": [1, 2, 3], "note": MARKUP})
        await self.ended(self.ids["run"])
        approval = await self.publish(
            "approval",
            transform("ask", question="May it be shipped?"),
            step("approved", "workflow.wait_event", depends_on=["ask"], config={"event": "order.approved"}),
            transform("ship", "approved.received", shipped=True),
        )
        self.ids["waiting"] = await self.start(approval)
        broken = await self.publish(
            "broken",
            transform("first", a=1),
            transform("bad", "first", x="{{ trigger.nope }}"),
            transform("last", "bad"),
        )
        self.ids["failed"] = await self.start(broken)
        await self.ended(self.ids["failed"])
        await self.publish("greeting", transform("greet", text="Hello, {{ trigger.name }}"), payload_schema=GREETED)
        await self.publish("nightly", transform("a"), trigger={"type": "schedule", "cron": "0 3 * * *"})
        draft = await self.served.data("POST", "/workflow-definitions", {"name": "a draft"}, status=201, key=ME)
        self.ids["a draft"] = draft["id"]
        body = {"workflow_id": orders, "cron": "*/15 9-17 * * 1-5", "timezone": "Europe/Berlin", "name": "office hours"}
        self.ids["schedule"] = (await self.served.data("POST", "/schedules", body, status=201, key=ME))["id"]
        await self.publish("orders", *ORDERS[:-1], description="Prices what comes in.")
