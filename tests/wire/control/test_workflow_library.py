"""Versions, graphs, texts and steps as people look them up, on the whole program."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.kit.ids import new_id
from tests.app import Served, open_app

STEM = "/workflow-definitions"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        await served.key("acme")
        yield served


def step(key: str, operation: str = "workflow.noop", **more: Any) -> dict[str, Any]:
    return {"key": key, "operation": operation, **more}


LINES = step(
    "lines",
    "workflow.foreach",
    depends_on=["if.then"],
    config={"items": "trigger.lines", "nodes": [step("one"), step("two", depends_on=["one"])]},
)


async def started(served: Served, workflow_id: str, payload: dict[str, Any]) -> str:
    run = await served.data(
        "POST", "/workflow-runs", {"workflow_definition_id": workflow_id, "context": payload}, status=201
    )
    await served.data("POST", f"/workflow-runs/{run['id']}/start", status=202)
    return str(run["id"])


async def ended(served: Served, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = await served.data("GET", f"/workflow-runs/{run_id}")
    while run["status"] not in ("completed", "failed", "cancelled"):
        await served.app.runs.wait(await served.principal(), run_id, 5)
        run = await served.data("GET", f"/workflow-runs/{run_id}")
    return run


async def test_the_graph_is_that_of_the_compiler(served: Served) -> None:
    branch = step("if", "workflow.branch", config={"condition": "trigger.lines"})
    workflow = await served.publish(branch, LINES, step("end", depends_on=["lines"], when="trigger.x"))
    graph = await served.data("GET", f"{STEM}/{workflow}/graph")
    assert [(node["id"], node["within"], node["ports"], node["conditional"]) for node in graph["nodes"]] == [
        ("if", None, ["then", "else"], False),
        ("lines", None, [], False),
        ("end", None, [], True),
        ("lines/one", "lines", [], False),
        ("lines/two", "lines", [], False),
    ]
    assert graph["edges"] == [
        {"source": "if", "target": "lines", "port": "then"},
        {"source": "lines", "target": "end", "port": None},
        {"source": "lines/one", "target": "lines/two", "port": None},
    ]


async def test_a_flow_is_drawn_as_nodes(served: Served) -> None:
    flow = {
        "start": {"type": "starting_step", "next": "ask"},
        "ask": {"type": "condition", "config": {"condition": "true"}, "next": {"then": "end", "else": None}},
        "end": {"type": "finish"},
    }
    body = {"name": "f", "flow": flow, "starting_step_id": "start"}
    workflow = (await served.data("POST", STEM, body, status=201))["id"]
    graph = await served.data("GET", f"{STEM}/{workflow}/graph")
    assert [node["operation"] for node in graph["nodes"]] == ["workflow.noop", "workflow.branch", "workflow.finish"]
    assert graph["edges"][-1] == {"source": "ask", "target": "end", "port": "then"}
    draft = (await served.data("POST", STEM, {"name": "d"}, status=201))["id"]
    assert await served.data("GET", f"{STEM}/{draft}/graph") == {"nodes": [], "edges": []}


async def test_versions_with_their_names(served: Served) -> None:
    workflow = await served.publish(step("a"))
    for key in ("b", "c"):
        await served.publish(step(key))
    await served.data("POST", f"{STEM}/{workflow}/releases", {"release": "1.0", "version": 2}, status=201)
    await served.data("POST", STEM, {"name": "flow"}, status=201)
    path = f"{STEM}/{workflow}/versions"
    _status, first, _headers = await served.ask("GET", f"{path}?limit=3")
    assert [(each["version"], each["status"], each["releases"]) for each in first["data"]] == [
        (4, "draft", []),
        (3, "published", []),
        (2, "published", ["1.0"]),
    ]
    assert first["data"][0]["published_at"] is None
    rest = await served.data("GET", first["links"]["next"].removeprefix("/v1"))
    assert [each["version"] for each in rest] == [1]


async def test_the_list_finds_names_and_tells_triggers_and_last_runs(served: Served) -> None:
    nightly = await served.publish(step("a"), name="Nightly 100%", trigger={"type": "schedule", "cron": "@daily"})
    orders = await served.publish(step("a"), name="orders")
    run = await started(served, orders, {})
    await ended(served, run)
    listed = await served.data("GET", f"{STEM}?last_run=true")
    assert [(each["name"], each["trigger"]) for each in listed] == [("orders", "api"), ("Nightly 100%", "schedule")]
    assert listed[0]["last_run"]["id"] == run
    assert listed[0]["last_run"]["status"] == "completed"
    assert listed[1]["last_run"] is None
    for asked, found in (("NIGHT", [nightly]), ("0%25", [nightly]), ("%25%25", []), ("", [orders, nightly])):
        assert [each["id"] for each in await served.data("GET", f"{STEM}?q={asked}")] == found, asked
    assert all(each["last_run"] is None for each in await served.data("GET", STEM))


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("name: x\nnodes:\n  - key: a\n    operation: workflow.noop\n", []),
        ('{"name": "x", "nodes": [{"key": "a", "operation": "workflow.noop"}]}', []),
        ("name: x\n", []),
        (
            "name: x\nnodes:\n  - key: a\n    operation: nope\n  - key: b\n    operation: transform\n    config: {}\n",
            [("nodes[0].operation", 4), ("nodes[1].config.values", 7)],
        ),
        ('{"name": "x",\n "nodes": [\n {"key": "a",\n "operation": "nope"}]}', [("nodes[0].operation", 4)]),
        ("name: 7\n", [("name", 1)]),
        ("name: x\nflow:\n  a: {type: finish, next: b}\nstarting_step_id: a\n", [("flow.a.next", 3)]),
        ("a: [1,\nb: 2", [("", 2)]),
        ("- a\n- b\n", [("", 1)]),
        ("a: !x 1", [("", 1)]),
        ("name: a\n---\nname: b\n", [("", 3)]),
        ("", [("", None)]),
        ("[" * 5000, [("", None)]),
    ],
    ids=range(13),
)
async def test_a_text_is_read_with_the_lines_of_its_faults(
    served: Served, text: str, faults: list[tuple[str, int | None]]
) -> None:
    read = await served.data("POST", f"{STEM}/read", {"text": text})
    assert [(each["path"], each["line"]) for each in read["faults"]] == faults
    assert read["valid"] == (not faults)
    assert (read["graph"] is None) == (bool(faults) or "a" not in text.partition("\n")[2] + text[10:])


async def test_a_text_has_a_bound(served: Served) -> None:
    status, told, _headers = await served.ask("POST", f"{STEM}/read", {"text": " " * (256 * 1024 + 1)})
    assert (status, told["error"]["details"]) == (400, {"field": "text"})


async def test_the_text_of_a_version_can_be_saved_again(served: Served) -> None:
    trigger = {"type": "webhook", "secret": "hush-hush-hush-hush-hush-hush-hush"}
    workflow = await served.publish(step("a", config={}), trigger=trigger, note="é: 'x'")
    told = await served.data("GET", f"{STEM}/{workflow}/text?version=1")
    assert told["version"] == 1
    assert "hush" not in told["text"]
    read = await served.data("POST", f"{STEM}/read", {"text": told["text"]})
    assert read["valid"]
    saved = await served.data("POST", STEM, read["definition"], status=201)
    assert (saved["id"], saved["changed"]) == (workflow, False)


async def test_a_step_shows_what_it_worked_on(served: Served) -> None:
    first = step("first", "transform", config={"values": {"sum": "{{ trigger.a + 1 }}"}})
    config = {"url": "http://127.0.0.1:1/{{ steps.first.output.sum }}", "auth": {"bearer": "hush"}}
    ask = step("send", "http.request", depends_on=["first"], config=config)
    ask["policy"] = {"max_retries": 0}
    last = step("last", depends_on=["send"], inputs={"x": "$steps.first.output.sum"})
    workflow = await served.publish(first, ask, last)
    run = await started(served, workflow, {"a": 41})
    assert (await ended(served, run))["status"] == "failed"
    path = f"/workflow-runs/{run}/steps"
    shown = await served.data("GET", f"{path}/first")
    assert (shown["input"], shown["output"], shown["input_error"]) == ({"values": {"sum": 42}}, {"sum": 42}, None)
    shown = await served.data("GET", f"{path}/send")
    assert shown["input"]["url"].endswith("/42")
    assert shown["input"]["auth"] == {"bearer": "***"}
    assert (await served.data("GET", f"{path}/last"))["input"] is None
    graph = await served.data("GET", f"/workflow-runs/{run}/graph")
    assert [node["key"] for node in graph["nodes"]] == ["first", "send", "last"]
    for missing in (f"{path}/other", f"/workflow-runs/{new_id()}/steps/first", f"/workflow-runs/{new_id()}/graph"):
        assert (await served.ask("GET", missing))[0] == 404, missing


async def test_what_the_payload_lacks_is_told_in_place_of_the_input(served: Served) -> None:
    broken = step("a", "transform", config={"values": {"x": "{{ trigger.nope }}"}}, policy={"max_retries": 0})
    run = await started(served, await served.publish(broken), {})
    assert (await ended(served, run))["status"] == "failed"
    shown = await served.data("GET", f"/workflow-runs/{run}/steps/a")
    assert shown["input"] is None
    assert "nope" in shown["input_error"]


async def test_the_items_of_a_foreach_have_their_inner_graph(served: Served) -> None:
    inner = step("one", "transform", config={"values": {"n": "{{ item * 2 }}"}})
    workflow = await served.publish(step("all", "workflow.foreach", config={"items": "trigger.l", "nodes": [inner]}))
    run = await started(served, workflow, {"l": [1, 2]})
    await ended(served, run)
    child = (await served.data("GET", f"/workflow-runs?parent_run_id={run}"))[0]["id"]
    assert [node["id"] for node in (await served.data("GET", f"/workflow-runs/{child}/graph"))["nodes"]] == ["one"]
    assert (await served.data("GET", f"/workflow-runs/{child}/steps/one"))["input"] == {"values": {"n": 4}}


async def test_others_do_not_see_it(served: Served) -> None:
    workflow = await served.publish(step("a"))
    for path in ("graph", "versions", "text"):
        assert (await served.ask("GET", f"{STEM}/{workflow}/{path}", key="other"))[0] == 404
        assert (await served.ask("GET", f"{STEM}/{new_id()}/{path}"))[0] == 404
