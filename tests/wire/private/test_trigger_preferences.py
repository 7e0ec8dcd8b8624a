"""``POST /api/private/trigger/{workflow_id}`` with ``Prefer: wait`` and with ``Idempotency-Key``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from alloyd.domain.operations.model import Done
from alloyd.wire.prefer import _WAIT
from tests.app import Served, open_app
from tests.machine import node

ECHO = node("echo", operation="transform", config={"values": {"got": "{{ trigger }}"}})
ASK = node("a", operation="test.ask")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


# -- Prefer: wait -----------------------------------------------------------------------------------------------------


async def test_waiting_for_the_output(served: Served) -> None:
    workflow_id = await served.publish(ASK)
    waiting = asyncio.create_task(served.trigger(workflow_id, headers={"Prefer": "wait=30"}))
    (await served.outside.next()).answer(Done({"x": 1}))
    status, answer, headers = await waiting
    assert status == 200
    result = answer["data"]["result"]
    assert result.keys() == {"status", "queued_at", "output"}
    assert (result["status"], result["output"]) == ("completed", {"x": 1})
    assert headers["Preference-Applied"] == "wait=30"


async def test_an_output_of_null_is_told(served: Served) -> None:
    workflow_id = await served.publish(node("a", operation="workflow.finish"))
    _status, answer, _headers = await served.trigger(workflow_id, headers={"Prefer": "wait=30"})
    assert answer["data"]["result"]["output"] is None


async def test_waiting_for_an_error(served: Served) -> None:
    workflow_id = await served.publish(ASK)
    waiting = asyncio.create_task(served.trigger(workflow_id, headers={"Prefer": "wait=30"}))
    (await served.outside.next()).fail()
    status, answer, headers = await waiting
    assert status == 200
    result = answer["data"]["result"]
    assert result.keys() == {"status", "queued_at", "error"}
    assert result["status"] == "failed"
    assert result["error"] == {"code": "broken", "message": "it broke", "step": "a"}
    assert headers["Preference-Applied"] == "wait=30"


async def test_waiting_for_a_run_that_is_cancelled(served: Served) -> None:
    workflow_id = await served.publish(ASK)
    waiting = asyncio.create_task(served.trigger(workflow_id, headers={"Prefer": "wait=30"}))
    run_id = (await served.outside.next()).context.run_id
    await served.app.runs.cancel(await served.principal(), run_id)
    _status, answer, _headers = await waiting
    assert answer["data"]["result"]["status"] == "cancelled"
    assert answer["data"]["result"]["error"]["code"] == "cancelled"


async def test_a_run_that_is_not_done_in_time_is_answered_as_without_waiting(served: Served) -> None:
    status, answer, headers = await served.trigger(await served.publish(ASK), headers={"Prefer": "wait=0"})
    assert status == 200
    assert answer["data"]["result"].keys() == {"status", "queued_at"}
    assert answer["data"]["result"]["status"] == "queued"
    assert "Preference-Applied" not in headers
    (await served.outside.next()).answer()


@pytest.mark.parametrize("prefer", ["wait=61", "wait=999999999", "respond-async, wait=3600"])
async def test_waiting_too_long_is_refused(served: Served, prefer: str) -> None:
    status, answer, _headers = await served.trigger(await served.publish(ASK), headers={"Prefer": prefer})
    assert (status, answer["error"]) == (400, "bad_request")
    assert "60" in answer["message"]
    assert await served.count_runs() == 0


@pytest.mark.parametrize(
    ("prefer", "wait_s"),
    [
        ("wait=5", "5"),
        ("WAIT=5", "5"),
        ('wait="5"', "5"),
        ("wait = 5", "5"),
        ("respond-async, wait=10", "10"),
        ("respond-async;wait=10", "10"),
        ("wait=10, handling=lenient", "10"),
        ("wait=10; foo", "10"),
        ("wait=60", "60"),
        ("wait", None),
        ("wait=", None),
        ("wait=x", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=1s", None),
        ("await=5", None),
        ("wait=1000000000", None),
        ("wait=٣", None),
        ("", None),
        (", ,", None),
    ],
)
def test_how_the_preference_is_read(prefer: str, wait_s: str | None) -> None:
    found = _WAIT.search(prefer)
    assert (found and found[1]) == wait_s


@pytest.mark.parametrize("prefer", ["wait=x", "wait", "return=minimal", ",;=", "\x80"])
async def test_preferences_that_say_nothing_are_ignored(served: Served, prefer: str) -> None:
    status, answer, headers = await served.trigger(await served.publish(ECHO), headers={"Prefer": prefer})
    assert status == 200
    assert answer["data"]["result"]["status"] == "queued"
    assert "Preference-Applied" not in headers


async def test_the_preference_may_stand_in_a_second_header(served: Served) -> None:
    workflow_id = await served.publish(ECHO)
    url = f"{served.url}/api/private/trigger/{workflow_id}"
    headers = [("api-key", await served.key("acme")), ("Prefer", "handling=lenient"), ("Prefer", "wait=30")]
    async with served.session.post(url, headers=headers) as response:
        assert (await response.json())["data"]["result"]["status"] == "completed"
        assert response.headers["Preference-Applied"] == "wait=30"


# -- once -------------------------------------------------------------------------------------------------------------


async def test_a_hundred_copies_at_one_time_make_one_run(served: Served) -> None:
    workflow_id = await served.publish(ASK)
    headers = {"Idempotency-Key": "k-1"}
    answers = await asyncio.gather(
        *(served.trigger(workflow_id, b'{"a": 1, "b": 2}', headers=headers) for _ in range(50)),
        *(served.trigger(workflow_id, b' {"b":2,"a":1}', headers=headers) for _ in range(50)),
    )
    assert {status for status, _answer, _headers in answers} == {200}
    assert len({msgspec.json.encode(answer) for _status, answer, _headers in answers}) == 1
    assert await served.count_runs() == 1
    (await served.outside.next()).answer()
    assert served.outside.waiting == 0


async def test_a_copy_may_wait_for_the_first_ones_end(served: Served) -> None:
    workflow_id = await served.publish(ASK)
    headers = {"Idempotency-Key": "k-1"}
    _status, first, _headers = await served.trigger(workflow_id, headers=headers)
    (await served.outside.next()).answer(Done("out"))
    _status, again, _headers = await served.trigger(workflow_id, headers={**headers, "Prefer": "wait=30"})
    assert again["data"]["runId"] == first["data"]["runId"]
    assert (again["data"]["result"]["status"], again["data"]["result"]["output"]) == ("completed", "out")


async def test_the_key_with_another_request_is_a_conflict(served: Served) -> None:
    workflow_id, other_id = await served.publish(ECHO), await served.publish(ECHO, name="other")
    headers = {"Idempotency-Key": "k-1"}
    assert (await served.trigger(workflow_id, b"1", headers=headers))[0] == 200
    for other in ((workflow_id, b"2"), (other_id, b"1")):
        status, answer, _headers = await served.trigger(*other, headers=headers)
        assert (status, answer["error"]) == (409, "conflict")
    assert await served.count_runs() == 1


async def test_each_organization_has_its_own_keys(served: Served) -> None:
    headers = {"Idempotency-Key": "k-1"}
    for slug in ("acme", "other"):
        workflow_id = await served.publish(ECHO, slug=slug)
        assert (await served.trigger(workflow_id, key=slug, headers=headers))[0] == 200
    assert await served.count_runs() == 2


async def test_a_failed_request_leaves_its_key_free(served: Served) -> None:
    headers = {"Idempotency-Key": "k-1"}
    assert (await served.trigger("later", headers=headers))[0] == 404
    await served.publish(ECHO, name="later")
    assert (await served.trigger("later", headers=headers))[0] == 200


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é"])
async def test_bad_idempotency_keys(served: Served, key: str) -> None:
    workflow_id = await served.publish(ECHO)
    status, answer, _headers = await served.trigger(workflow_id, headers={"Idempotency-Key": key})
    assert (status, answer["error"]) == (400, "bad_request")
    assert await served.count_runs() == 0
