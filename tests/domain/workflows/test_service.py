"""Saving, versions, drafts, names, and that what runs is what was published last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.domain.workflows.service import WorkflowService, WorkflowSettings
from alloyd.errors import AlloydError, Code
from alloyd.kit.ids import new_id
from tests.engine import Bench, known_secrets, open_bench
from tests.machine import node


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path, starts=False) as bench:
        yield bench


def definition(key: str = "a", name: str = "flow", **more: Any) -> dict[str, Any]:
    return {"name": name, "nodes": [node(key)], **more}


DRAFT = {"name": "flow", "type": "structured"}


async def kinds(bench: Bench) -> list[str]:
    rows = await bench.database.read(
        lambda conn: conn.execute("SELECT kind FROM events WHERE kind LIKE 'workflow.%' ORDER BY id").fetchall()
    )
    return [row[0] for row in rows]


async def test_versions(bench: Bench) -> None:
    principal = await bench.org()
    first = await bench.workflows.save(principal, definition("a"))
    bench.clock.advance(10)
    second = await bench.workflows.save(principal, definition("b"))
    assert (first.changed, second.changed) == (True, True)
    assert [saved.version.version for saved in (first, second)] == [1, 2]
    workflow = second.version.workflow
    assert (workflow.id, workflow.version, workflow.published_version) == (first.version.workflow.id, 2, 2)
    assert (workflow.created_at, workflow.updated_at) == (bench.clock.now_ms() - 10, bench.clock.now_ms())
    assert (await bench.workflows.get(principal, workflow.id, 1)).definition == definition("a")
    assert (await bench.workflows.get(principal, workflow.id)).definition == definition("b")
    assert await kinds(bench) == ["workflow.created", "workflow.updated"]


async def test_the_same_content_changes_nothing(bench: Bench) -> None:
    principal = await bench.org()
    first = await bench.workflows.save(principal, definition("a", mode="parallel"))
    same = {"mode": "parallel", "nodes": [dict(reversed(node("a").items()))], "name": "flow"}
    again = await bench.workflows.save(principal, same)
    assert (again.changed, again.version) == (False, first.version)
    assert await kinds(bench) == ["workflow.created"]
    await bench.workflows.save(principal, definition("b"))
    back = await bench.workflows.save(principal, definition("a", mode="parallel"))
    assert (back.changed, back.version.version) == (True, 3), "an older content is a new version"


async def test_at_one_time(bench: Bench) -> None:
    principal = await bench.org()
    saved = await asyncio.gather(*(bench.workflows.save(principal, definition(f"s{n % 5}")) for n in range(20)))
    assert len({one.version.workflow.id for one in saved}) == 1
    changed = [one.version.version for one in saved if one.changed]
    assert sorted(changed) == list(range(1, len(changed) + 1)), "no number twice, none left out"


async def test_drafts_are_stored_and_not_run(bench: Bench) -> None:
    principal = await bench.org()
    draft = await bench.workflows.save(principal, DRAFT)
    workflow_id = draft.version.workflow.id
    assert (draft.version.published_at, draft.version.workflow.published_version) == (None, None)
    await refused(bench.workflows.get_runnable(principal.org_id, workflow_id), Code.NOT_FOUND)
    await bench.workflows.save(principal, definition("a"))
    assert (await bench.workflows.get_runnable(principal.org_id, workflow_id)).version == 2
    await bench.workflows.save(principal, DRAFT)
    assert (await bench.workflows.get_runnable(principal.org_id, workflow_id)).version == 2
    newest = await bench.workflows.get(principal, workflow_id)
    assert (newest.version, newest.published_at, newest.workflow.published_version) == (3, None, 2)


async def test_a_faulty_definition_is_not_stored(bench: Bench) -> None:
    principal = await bench.org()
    bad = {"name": "flow", "nodes": [node("a", operation="no.such"), node("b", "x")]}
    error = await refused(bench.workflows.save(principal, bad), Code.UNPROCESSABLE)
    assert [fault["path"] for fault in error.details] == ["nodes[1].depends_on[0]", "nodes[0].operation"]
    assert error.message.endswith("(and 1 more)")
    assert [fault.to_json() for fault in bench.workflows.check(bad)] == error.details
    assert await bench.workflows.list_page(principal, None, 10) == []
    assert await kinds(bench) == []


@pytest.mark.parametrize("name", ["", " ", "\t", "x" * 201, "a\u0000b", "a\u202eb"])
async def test_bad_names(bench: Bench, name: str) -> None:
    error = await refused(bench.workflows.save(await bench.org(), definition(name=name)), Code.BAD_REQUEST)
    assert error.field == "name"


@pytest.mark.parametrize("name", ["x", "x" * 200, "Bestellung prüfen", "注文", "a/b", "'; --", "😀"])
async def test_names(bench: Bench, name: str) -> None:
    principal = await bench.org()
    saved = await bench.workflows.save(principal, definition(name=name))
    assert (await bench.workflows.get_by_name(principal, name)).workflow == saved.version.workflow
    assert (await bench.workflows.get_by_name(principal, saved.version.workflow.id)).workflow.name == name
    assert (await bench.workflows.get_runnable(principal.org_id, name)).workflow_id == saved.version.workflow.id


async def test_a_definition_has_a_size(bench: Bench) -> None:
    workflows = WorkflowService(bench.database, WorkflowSettings(definition_bytes_max=100), known_secrets())
    await refused(workflows.save(await bench.org(), definition(name="x" * 100)), Code.TOO_LARGE)


async def test_what_is_published_is_run_at_once(bench: Bench) -> None:
    principal = await bench.org()
    for number in range(1, 4):
        workflow_id = (await bench.workflows.save(principal, definition(f"s{number}"))).version.workflow.id
        for named in (workflow_id, "flow"):
            runnable = await bench.workflows.get_runnable(principal.org_id, named)
            assert (runnable.version, list(runnable.graph.nodes)) == (number, [f"s{number}"])
            assert bench.workflows.find_cached_runnable(principal.org_id, named) is runnable
    assert list((await bench.workflows.get_graph(principal.org_id, workflow_id, 1)).nodes) == ["s1"]


async def test_what_is_read_while_it_is_published_is_not_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The read saw the old version, and its answer comes after the new one is committed."""
    principal = await bench.org()
    workflow_id = (await bench.workflows.save(principal, definition("old"))).version.workflow.id
    read = bench.database.read

    async def slow_read(fn: Any) -> Any:
        found = await read(fn)
        monkeypatch.setattr(bench.database, "read", read)
        await bench.workflows.save(principal, definition("new"))
        return found

    monkeypatch.setattr(bench.database, "read", slow_read)
    await bench.workflows.get_runnable(principal.org_id, workflow_id)
    assert list((await bench.workflows.get_runnable(principal.org_id, workflow_id)).graph.nodes) == ["new"]


async def test_the_caches_are_bounded(bench: Bench) -> None:
    workflows = WorkflowService(bench.database, WorkflowSettings(graphs_cached_max=2), known_secrets())
    principal = await bench.org()
    ids = [
        (await workflows.save(principal, definition(name=f"flow {number}"))).version.workflow.id for number in range(5)
    ]
    for workflow_id in ids * 2:
        assert (await workflows.get_runnable(principal.org_id, workflow_id)).workflow_id == workflow_id
    assert len(workflows._current) == len(workflows._graphs) == 2


async def test_delete(bench: Bench) -> None:
    principal = await bench.org()
    workflow_id = (await bench.workflows.save(principal, definition())).version.workflow.id
    await bench.workflows.get_runnable(principal.org_id, workflow_id)
    await bench.workflows.delete(principal, workflow_id)
    await refused(bench.workflows.get_runnable(principal.org_id, workflow_id), Code.NOT_FOUND)
    await refused(bench.workflows.get(principal, workflow_id), Code.NOT_FOUND)
    await refused(bench.workflows.get_by_name(principal, "flow"), Code.NOT_FOUND)
    await refused(bench.workflows.delete(principal, workflow_id), Code.NOT_FOUND)
    assert await bench.workflows.list_page(principal, None, 10) == []
    assert (await bench.workflows.get_graph(principal.org_id, workflow_id, 1)).nodes, "its runs go on"
    again = await bench.workflows.save(principal, definition())
    assert (again.version.workflow.id != workflow_id, again.version.version) == (True, 1)
    assert await kinds(bench) == ["workflow.created", "workflow.deleted", "workflow.created"]


async def test_two_organizations(bench: Bench) -> None:
    mine, theirs = await bench.org("mine"), await bench.org("theirs")
    my_id = (await bench.workflows.save(mine, definition("m"))).version.workflow.id
    their_id = (await bench.workflows.save(theirs, definition("t"))).version.workflow.id
    assert my_id != their_id, "the same name is another workflow"
    assert [workflow.id for workflow in await bench.workflows.list_page(mine, None, 10)] == [my_id]
    await bench.workflows.get_runnable(theirs.org_id, their_id)
    for attempt in (
        bench.workflows.get(mine, their_id),
        bench.workflows.delete(mine, their_id),
        bench.workflows.get_runnable(mine.org_id, their_id),
        bench.workflows.get_graph(mine.org_id, their_id, 1),
    ):
        await refused(attempt, Code.NOT_FOUND)
    assert (await bench.workflows.get_runnable(mine.org_id, "flow")).workflow_id == my_id


@pytest.mark.parametrize("version", [2, 99])
async def test_versions_that_are_not_there(bench: Bench, version: int) -> None:
    principal = await bench.org()
    workflow_id = (await bench.workflows.save(principal, definition())).version.workflow.id
    await refused(bench.workflows.get(principal, workflow_id, version), Code.NOT_FOUND)
    await refused(bench.workflows.get_graph(principal.org_id, workflow_id, version), Code.NOT_FOUND)
    await refused(bench.workflows.get(principal, new_id()), Code.NOT_FOUND)


async def test_a_published_version_that_can_not_run_any_more_says_why(bench: Bench) -> None:
    principal = await bench.org()
    workflow_id = (await bench.workflows.save(principal, definition())).version.workflow.id
    await bench.database.write(
        lambda tx: tx.execute("UPDATE workflow_versions SET definition = replace(definition, '.noop', '.gone')")
    )
    error = await refused(bench.workflows.get_runnable(principal.org_id, workflow_id), Code.UNPROCESSABLE)
    assert "workflow.gone" in error.message


async def test_pages(bench: Bench) -> None:
    principal = await bench.org()
    for number in range(5):
        await bench.workflows.save(principal, definition(name=f"flow {number}"))
    first = await bench.workflows.list_page(principal, None, 3)
    rest = await bench.workflows.list_page(principal, first[-1].id, 3)
    assert [workflow.name for workflow in (*first, *rest)] == [f"flow {number}" for number in reversed(range(5))]


async def refused(attempt: Any, code: Code) -> AlloydError:
    """The error that ``attempt`` must end with."""
    with pytest.raises(AlloydError) as caught:
        await attempt
    assert caught.value.code is code
    return caught.value
