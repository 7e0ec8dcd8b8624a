"""``POST /api/private/trigger/{workflow_id}``: every status and rule of the private contract, on the whole program."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alloyd.config import EngineConfig
from alloyd.kit.ids import new_id
from tests.app import Served, open_app
from tests.machine import node

MIB = 1024 * 1024
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")
ECHO = node("echo", operation="transform", config={"values": {"got": "{{ trigger }}"}})
ASK = node("a", operation="test.ask")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


async def echoed(served: Served, body: Any, **options: Any) -> Any:
    """What a run gets as its trigger payload."""
    workflow_id = await served.publish(ECHO, name="echo")
    headers = {"Prefer": "wait=30", **options.pop("headers", {})}
    status, answer, _headers = await served.trigger(workflow_id, body, headers=headers, **options)
    assert status == 200, answer
    assert answer["data"]["result"]["status"] == "completed"
    return answer["data"]["result"]["output"]["got"]


# -- starting ---------------------------------------------------------------------------------------------------------


async def test_the_answer(served: Served) -> None:
    workflow_id = await served.publish(ASK)
    status, answer, headers = await served.trigger(workflow_id, b'{"a": 1}')
    assert status == 200
    assert answer.keys() == {"success", "data"}
    assert answer["success"] is True
    data = answer["data"]
    assert data.keys() == {"runId", "result"}
    assert data["result"].keys() == {"status", "queued_at"}
    assert data["result"]["status"] == "queued"
    assert TIME.match(data["result"]["queued_at"])
    assert "Preference-Applied" not in headers
    asked = await served.outside.next()
    assert asked.context.run_id == data["runId"]
    assert asked.context.names["trigger"] == {"a": 1}
    asked.answer()


async def test_what_is_told_and_nothing_else(served: Served) -> None:
    workflow_id = await served.publish(ECHO)
    before = await served.kinds()
    _status, answer, _headers = await served.trigger(workflow_id, headers={"Prefer": "wait=30"})
    assert (await served.kinds())[len(before) :] == [
        "workflow.run.queued",
        "workflow.run.started",
        "workflow.node.started",
        "workflow.node.completed",
        "workflow.run.completed",
    ]
    assert await served.kinds(answer["data"]["runId"]) == (await served.kinds())[len(before) :]


async def test_the_run_is_on_disk_when_it_is_answered(served: Served) -> None:
    workflow_id = await served.publish(ASK)
    _status, answer, _headers = await served.trigger(workflow_id)
    row = await served.app.database.read(
        lambda conn: conn.execute(
            "SELECT trigger_kind, payload, queued_at FROM runs WHERE id = ?", (answer["data"]["runId"],)
        ).fetchone()
    )
    assert row == ("api", "{}", served.clock.now_ms())


async def test_a_flow(served: Served) -> None:
    flow = {
        "start": {"type": "starting_step", "next": "if"},
        "if": {
            "type": "condition",
            "config": {"condition": "trigger.n > 1"},
            "next": {"then": "big", "else": ["small"]},
        },
        "big": {"type": "transform", "config": {"values": {"is": "big"}}, "next": "end"},
        "small": {"type": "transform", "config": {"values": {"is": "small"}}, "next": "end"},
        "end": {
            "type": "finish",
            "config": {"output": "{{ (steps.big ?? steps.small).output.is }}"},
        },
    }
    definition = {"name": "f", "type": "structured", "starting_step_id": "start", "flow": flow}
    saved = await served.app.workflows.save(await served.principal(), definition)
    for n, wanted in ((5, "big"), (1, "small")):
        _status, answer, _headers = await served.trigger(
            saved.version.workflow.id, b'{"n": %d}' % n, headers={"Prefer": "wait=30"}
        )
        assert answer["data"]["result"]["output"] == wanted


async def test_by_name(served: Served) -> None:
    await served.publish(ECHO, name="my flow")
    status, _answer, _headers = await served.trigger("my%20flow")
    assert status == 200


async def test_with_a_trailing_slash(served: Served) -> None:
    status, _answer, _headers = await served.trigger(f"{await served.publish(ECHO)}/")
    assert status == 200


# -- the body ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, -1.5, 2**63, 10**30, "", "é\u0000\U0001f600", [], [1, [2]], {}, {"": {"a": None}}],
)
async def test_any_json_value(served: Served, value: Any) -> None:
    assert await echoed(served, msgspec.json.encode(value)) == value


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}, {"Content-Type": "multipart/form-data"}],
)
async def test_an_empty_body_is_an_empty_object(served: Served, headers: dict[str, str]) -> None:
    assert await echoed(served, b"", headers=headers) == {}


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/ld+json"]
)
async def test_content_types(served: Served, content_type: str) -> None:
    assert await echoed(served, b" [1]\n", headers={"Content-Type": content_type}) == [1]


BAD_BODIES = {
    "broken": b'{"a": ',
    "two values": b"{} {}",
    "no JSON": b"hello",
    "single quotes": b"{'a': 1}",
    "trailing comma": b"[1,]",
    "comment": b"{} // x",
    "NaN": b"NaN",
    "NaN inside": b'{"a": NaN}',
    "Infinity": b"[Infinity]",
    "minus Infinity": b"-Infinity",
    "not a number of this world": b"1e999",
    "half a character": b'"\\ud800"',
    "not UTF-8": b'"\xff"',
    "not UTF-8 in a key": b'{"\xc3\x28": 1}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "only spaces": b"   ",
    "NUL": b"\x00",
    "control character in a string": b'"\x01"',
    "65 deep": b"[" * 65 + b"]" * 65,
    "65 deep in objects": b'{"a":' * 65 + b"1" + b"}" * 65,
    "10,000 deep": b"[" * 10_000 + b"]" * 10_000,
    "10,000 deep and broken": b"[" * 10_000,
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_bad_bodies(served: Served, name: str) -> None:
    status, answer, _headers = await served.trigger(await served.publish(ECHO), BAD_BODIES[name])
    assert status == 400, answer
    assert (answer["success"], answer["error"]) == (False, "bad_request")
    assert answer["message"].startswith("body")
    assert await served.count_runs() == 0


async def test_64_deep_is_not_too_deep(served: Served) -> None:
    status, _answer, _headers = await served.trigger(await served.publish(ASK), b"[" * 64 + b"]" * 64)
    assert status == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "json"])
async def test_other_content_types(served: Served, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    status, answer, _headers = await served.trigger(await served.publish(ECHO), b"[1]", headers=headers)
    assert (status, answer["error"]) == (400, "bad_request")
    assert "Content-Type" in answer["message"]


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    """Chunked: no length is declared."""
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


@pytest.mark.parametrize("chunked", [False, True])
async def test_one_mebibyte_is_the_limit(served: Served, chunked: bool) -> None:
    workflow_id = await served.publish(ASK)
    for size, wanted in ((MIB, 200), (MIB + 1, 413)):
        body: Any = b'"' + b"x" * (size - 2) + b'"'
        status, answer, _headers = await served.trigger(
            workflow_id, in_pieces(body) if chunked else body, headers={"Content-Type": "application/json"}
        )
        assert status == wanted, answer
        if wanted == 413:
            assert (answer["success"], answer["error"]) == (False, "too_large")
    assert await served.count_runs() == 1
    (await served.outside.next()).answer()


async def test_a_length_that_is_too_large_is_refused_before_the_body_is_read(served: Served) -> None:
    workflow_id = await served.publish(ASK)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.listener.port)
    key = await served.key("acme")
    writer.write(
        f"POST /api/private/trigger/{workflow_id} HTTP/1.1\r\nHost: x\r\napi-key: {key}\r\n"
        f"Content-Length: {MIB + 1}\r\n\r\n".encode()
    )
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 413")
    writer.close()


@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_body_is_an_internal_error(any_body: Any, body: bytes) -> None:
    status, answer = any_body(body)
    assert status in (200, 400), answer
    try:
        msgspec.json.decode(body or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        assert status == 400
    else:
        assert status == 200


@pytest.fixture
def any_body(tmp_path: Path) -> Any:
    """Send a body from outside of any loop, as hypothesis wants it: the program runs in a loop of its own."""
    with asyncio.Runner() as runner:
        opened = open_app(tmp_path)
        served = runner.run(opened.__aenter__())
        workflow_id = runner.run(served.publish(ECHO))

        def send(body: bytes) -> tuple[int, Any]:
            status, answer, _headers = runner.run(served.trigger(workflow_id, body))
            return status, answer

        yield send
        runner.run(opened.__aexit__(None, None, None))


# -- who and what -----------------------------------------------------------------------------------------------------


async def test_unknown_foreign_draft_and_deleted_workflows_look_the_same(served: Served) -> None:
    principal = await served.principal()
    save = served.app.workflows.save
    no_flow = (await save(principal, {"name": "no flow", "type": "structured", "starting_step_id": "a"})).version
    no_start = (await save(principal, {"name": "no start", "flow": {"a": {"type": "starting_step"}}})).version
    gone = await served.publish(ECHO, name="gone")
    await served.app.workflows.delete(principal, gone)
    foreign = await served.publish(ECHO, slug="other", name="foreign")
    answers = [
        await served.trigger(wanted)
        for wanted in (
            new_id(),
            "nonsense",
            foreign,
            "foreign",
            no_flow.workflow.id,
            no_start.workflow.id,
            gone,
            "gone",
            "..",
            "%00x"[3:] * 300,
            "a%2Fb",
            "%20",
            "'; DROP TABLE runs; --",
            "%F0%9F%98%80",
        )
        if wanted != ".."
    ]
    assert {status for status, _answer, _headers in answers} == {404}
    assert {msgspec.json.encode(answer) for _status, answer, _headers in answers} == {
        b'{"success":false,"error":"not_found","message":"workflow not found"}'
    }
    assert await served.count_runs() == 0


async def test_a_draft_beside_a_published_version_runs_the_published_one(served: Served) -> None:
    workflow_id = await served.publish(ECHO)
    await served.app.workflows.save(await served.principal(), {"name": "flow", "type": "structured"})
    assert (await served.trigger(workflow_id))[0] == 200


async def test_a_new_version_is_run_at_once(served: Served) -> None:
    for number in range(3):
        workflow_id = await served.publish(
            node("a", operation="transform", config={"values": {"version": number}}), name="flow"
        )
        _status, answer, _headers = await served.trigger(workflow_id, headers={"Prefer": "wait=30"})
        assert answer["data"]["result"]["output"] == {"version": number}


@pytest.mark.parametrize("path", ["%", "%zz", "%00", "%ff", "a%0ab", "%c3%28"])
async def test_garbage_in_the_path(served: Served, path: str) -> None:
    key = await served.key("acme")
    reader, writer = await asyncio.open_connection("127.0.0.1", served.listener.port)
    writer.write(
        f"POST /api/private/trigger/{path} HTTP/1.1\r\nHost: x\r\napi-key: {key}\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])["error"] == "bad_request"


async def test_without_a_key(served: Served) -> None:
    workflow_id = await served.publish(ECHO)
    bearer = {"Authorization": f"Bearer {await served.key('acme')}"}
    for headers in ({}, bearer, {"api-key": "alloy_nonsense"}):
        status, answer, _headers = await served.trigger(workflow_id, b"{broken", key=None, headers=headers)
        assert (status, answer["error"]) == (401, "unauthorized")


async def test_a_viewer_may_not(served: Served) -> None:
    status, answer, _headers = await served.trigger(await served.publish(ECHO), key="acme viewer")
    assert (status, answer["error"]) == (403, "forbidden")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_other_methods(served: Served, method: str) -> None:
    url = f"{served.url}/api/private/trigger/{await served.publish(ECHO)}"
    async with served.session.request(method, url, headers={"api-key": await served.key("acme")}) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert (await response.json())["error"] == "method_not_allowed"


# -- bounds -----------------------------------------------------------------------------------------------------------


async def test_the_queue_has_a_limit(tmp_path: Path) -> None:
    async with open_app(tmp_path, EngineConfig(queued_per_org_max=3, running_max=1)) as served:
        workflow_id = await served.publish(ASK)
        await served.trigger(workflow_id)
        first = await served.outside.next()
        answers = await asyncio.gather(
            *(
                served.trigger(workflow_id, headers={"Idempotency-Key": f"k{n % 10}"} if n < 5 else {})
                for n in range(30)
            )
        )
        statuses = [status for status, _answer, _headers in answers]
        assert statuses.count(200) == 3, "however many come at one time"
        assert statuses.count(429) == 27
        _status, answer, headers = next(entry for entry in answers if entry[0] == 429)
        assert (answer["success"], answer["error"]) == (False, "rate_limited")
        assert int(headers["Retry-After"]) >= 1
        other = await served.publish(ASK, slug="other")
        assert (await served.trigger(other, key="other"))[0] == 200, "another organization is not concerned"
        first.answer()
        await served.outside.next()
        assert (await served.trigger(workflow_id))[0] == 200, "there is room again"


async def test_a_copy_of_an_answered_request_is_answered_though_the_queue_is_full(tmp_path: Path) -> None:
    async with open_app(tmp_path, EngineConfig(queued_per_org_max=1, running_max=1)) as served:
        workflow_id = await served.publish(ASK)
        await served.trigger(workflow_id)
        await served.outside.next()
        headers = {"Idempotency-Key": "k"}
        _status, first, _headers = await served.trigger(workflow_id, headers=headers)
        status, again, _headers = await served.trigger(workflow_id, headers=headers)
        assert (status, again) == (200, first)
        assert (await served.trigger(workflow_id))[0] == 429


async def test_starts_have_a_rate(tmp_path: Path) -> None:
    async with open_app(tmp_path, EngineConfig(starts_per_s_per_org=5)) as served:
        workflow_id = await served.publish(ECHO)
        statuses = [(await served.trigger(workflow_id))[0] for _ in range(7)]
        assert statuses == [200] * 5 + [429] * 2
        _status, answer, headers = await served.trigger(workflow_id)
        assert (answer["error"], headers["Retry-After"]) == ("rate_limited", "1")
        served.clock.advance(400)
        assert [(await served.trigger(workflow_id))[0] for _ in range(3)] == [200, 200, 429]
        served.clock.advance(60_000)
        assert [(await served.trigger(workflow_id))[0] for _ in range(6)] == [200] * 5 + [429]


async def test_copies_do_not_count_against_the_rate(tmp_path: Path) -> None:
    async with open_app(tmp_path, EngineConfig(starts_per_s_per_org=2)) as served:
        workflow_id = await served.publish(ECHO)
        headers = {"Idempotency-Key": "k"}
        assert [(await served.trigger(workflow_id, headers=headers))[0] for _ in range(10)] == [200] * 10
        assert [(await served.trigger(workflow_id))[0] for _ in range(2)] == [200, 429]


async def test_a_nearly_full_disk_takes_no_new_work(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        workflow_id = await served.publish(ECHO)
        config = served.app.live.current
        low = msgspec.structs.replace(config.data, disk_free_bytes_min=1 << 60)
        served.app.live.reload(msgspec.structs.replace(config, data=low))
        status, answer, headers = await served.trigger(workflow_id)
        assert (status, answer["error"]) == (503, "unavailable")
        assert headers["Retry-After"] == "30"
        assert await served.count_runs() == 0
