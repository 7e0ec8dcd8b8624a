"""`/v1/hooks/{workflow_id}`: signed requests start a workflow once; everything else starts and tells nothing."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alloyd.config import EngineConfig
from alloyd.kit.ids import new_id
from alloyd.kit.signatures import signature_header
from tests.app import Served, open_app

SECRET = "canary_hook_0123456789"
NODE = {"key": "show", "operation": "transform", "config": {"values": {"seen": "{{ trigger }}"}}}
BODY = b'{"order": 7}'


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path, EngineConfig(payload_bytes_max=65_536, context_bytes_max=262_144)) as opened:
        yield opened


async def publish(served: Served, slug: str = "acme", **trigger: Any) -> str:
    given = {"type": "webhook", "secret": SECRET, **trigger}
    return await served.publish(NODE, slug=slug, trigger=given)


def signed(served: Served, body: bytes = BODY, secret: str = SECRET, skew_s: int = 0, **more: str) -> dict[str, str]:
    at_s = served.clock.now_ms() // 1000 + skew_s
    header = {"X-Alloyd-Signature": signature_header((secret,), at_s, body), "Content-Type": "application/json"}
    return header | {name.replace("_", "-"): value for name, value in more.items()}


async def post(served: Served, workflow_id: str, body: bytes = BODY, **options: Any) -> tuple[int, Any]:
    headers = options.pop("headers", None) or signed(served, body)
    path = f"/hooks/{workflow_id}{options.pop('query', '')}"
    status, envelope, _headers = await served.ask("POST", path, body, key=None, headers=headers)
    return status, envelope


async def seen_by(served: Served, run_id: str, slug: str = "acme") -> Any:
    principal = await served.principal(slug)
    await served.app.runs.wait(principal, run_id, 30)
    (step,) = (await served.app.runs.get(principal, run_id)).steps
    assert step.output is not None, step
    return step.output["seen"]


async def test_signed_request_starts_a_run(served: Served) -> None:
    workflow_id = await publish(served)
    headers = signed(
        served, X_Alloyd_Delivery="d-1", X_Alloyd_Event="order.paid", Authorization="Bearer x", Cookie="a=b"
    )
    status, envelope = await post(served, workflow_id, headers=headers, query="?a=1&b=2&b=3")
    assert status == 202
    assert envelope["context"] == {"principal_id": None, "organization_id": None, "team_id": None}
    assert envelope["data"]["status"] == "queued"
    seen = await seen_by(served, envelope["data"]["run_id"])
    told = seen.pop("headers")
    assert seen == {"body": {"order": 7}, "encoding": "json", "query": {"a": "1", "b": ["2", "3"]}, "method": "POST"}
    assert (told["x-alloyd-event"], told["content-type"]) == ("order.paid", "application/json")
    assert not {"authorization", "cookie", "x-alloyd-signature", "host", "content-length"} & set(told)


@pytest.mark.parametrize(
    ("body", "kind", "seen", "encoding"),
    [
        (b"", "application/json", None, "json"),
        (b"[1]", "application/problem+json; charset=utf-8", [1], "json"),
        (b"a=1&b=%C3%BC&a=2&c=", "application/x-www-form-urlencoded", {"a": ["1", "2"], "b": "ü", "c": ""}, "form"),
        (b"plain", "text/plain", "plain", "text"),
        (b"\xff\xfe", "application/octet-stream", "//4=", "base64"),
    ],
)
async def test_bodies(served: Served, body: bytes, kind: str, seen: Any, encoding: str) -> None:
    workflow_id = await publish(served)
    status, envelope = await post(served, workflow_id, body, headers=signed(served, body) | {"Content-Type": kind})
    assert status == 202
    got = await seen_by(served, envelope["data"]["run_id"])
    assert (got["body"], got["encoding"]) == (seen, encoding)


async def test_what_is_not_signed_starts_nothing(served: Served) -> None:
    workflow_id = await publish(served)
    good = signed(served)
    refused = [
        {},
        {"X-Alloyd-Signature": ""},
        signed(served, secret="some_other_secret_01"),
        signed(served, b'{"order": 8}'),
        signed(served, skew_s=301),
        signed(served, skew_s=-301),
        {"X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()},
        good | {"X-Alloyd-Signature": good["X-Alloyd-Signature"].upper()},
    ]
    words = set()
    for headers in refused:
        status, envelope = await post(served, workflow_id, headers=headers or {"X-Nothing": "1"})
        assert status == 401, headers
        words.add(str(envelope["error"]))
    assert len(words) == 1
    assert await served.count_runs() == 0
    for skew_s in (300, -300):
        assert (await post(served, workflow_id, headers=signed(served, skew_s=skew_s)))[0] == 202


async def test_nothing_is_told_of_what_is_not_there(served: Served) -> None:
    api_only = await served.publish(NODE, name="api")
    event = await served.publish(NODE, name="event", trigger={"type": "event", "event": "order.paid"})
    draft = (
        await served.app.workflows.save(
            await served.principal(), {"name": "draft", "trigger": {"type": "webhook", "secret": SECRET}}
        )
    ).version.workflow.id
    deleted = await publish(served)
    await served.app.workflows.delete(await served.principal(), deleted)
    archived = await publish(served, "other")
    await served.app.orgs.archive(served.orgs["other"])
    answers = []
    for workflow_id in (new_id(), "x", "a" * 300, "flow", api_only, event, draft, deleted, archived):
        status, envelope = await post(served, workflow_id)
        answers.append((status, str(envelope["error"])))
    assert set(answers) == {(404, answers[0][1])}
    assert await served.count_runs() == 0


async def test_same_request_again_is_one_run(served: Served) -> None:
    workflow_id = await publish(served)
    first = signed(served, X_Alloyd_Delivery="d-1")
    _status, envelope = await post(served, workflow_id, headers=first)
    original = envelope["data"]
    served.clock.advance(60_000)
    repeats = [
        first,  # a replay
        first | {"X-Alloyd-Delivery": "another"},  # a replay under another name, which nobody signed
        {name: value for name, value in first.items() if name != "X-Alloyd-Delivery"},
        signed(served, X_Alloyd_Delivery="d-1"),  # the sender's next attempt, signed anew
    ]
    for headers in repeats:
        status, envelope = await post(served, workflow_id, headers=headers)
        assert (status, envelope["data"]) == (202, original)
    assert await served.count_runs() == 1
    _status, envelope = await post(served, workflow_id, headers=signed(served, X_Alloyd_Delivery="another"))
    assert envelope["data"]["run_id"] != original["run_id"]  # the replay above did not take this name
    assert await served.count_runs() == 2


async def test_copies_at_the_same_time_are_one_run(served: Served) -> None:
    workflow_id = await publish(served)
    headers = signed(served)
    answers = await asyncio.gather(*(post(served, workflow_id, headers=headers) for _ in range(20)))
    assert {(status, envelope["data"]["run_id"]) for status, envelope in answers} == {
        (202, answers[0][1]["data"]["run_id"])
    }
    assert await served.count_runs() == 1


async def test_replay_is_known_after_a_restart(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        workflow_id = await publish(served)
        headers = signed(served)
        _status, envelope = await post(served, workflow_id, headers=headers)
        run_id = envelope["data"]["run_id"]
    async with open_app(tmp_path) as served:
        status, envelope = await post(served, workflow_id, headers=headers)
        assert (status, envelope["data"]["run_id"]) == (202, run_id)
        assert await served.count_runs() == 1


async def test_github_and_slack(served: Served) -> None:
    github = await served.publish(
        NODE, name="github", trigger={"type": "webhook", "secret": SECRET, "scheme": "github"}
    )
    headers = {
        "X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest(),
        "X-GitHub-Delivery": "72d3162e",
        "X-GitHub-Event": "push",
        "Content-Type": "application/json",
    }
    _status, envelope = await post(served, github, headers=headers)
    assert (await seen_by(served, envelope["data"]["run_id"]))["headers"]["x-github-event"] == "push"
    slack = await served.publish(NODE, name="slack", trigger={"type": "webhook", "secret": SECRET, "scheme": "slack"})
    body = b'{"type":"url_verification","challenge":"3eZbrw1a"}'
    at_s = served.clock.now_ms() // 1000
    mac = hmac.new(SECRET.encode(), b"v0:%d:" % at_s + body, hashlib.sha256).hexdigest()
    asked = {
        "X-Slack-Request-Timestamp": str(at_s),
        "X-Slack-Signature": f"v0={mac}",
        "Content-Type": "application/json",
    }
    async with served.session.post(f"{served.url}/v1/hooks/{slack}", data=body, headers=asked) as response:
        assert (response.status, await response.text()) == (200, "3eZbrw1a")
    assert await served.count_runs() == 1


@pytest.mark.parametrize(
    ("body", "status"), [(b'{"a":', 400), (b'{"a": "\xff"}', 400), (b"[" * 100 + b"]" * 100, 400), (b"x" * 70_000, 413)]
)
async def test_bad_bodies_are_refused(served: Served, body: bytes, status: int) -> None:
    workflow_id = await publish(served)
    got, _envelope = await post(served, workflow_id, body)
    assert got == status
    assert await served.count_runs() == 0


async def test_unsigned_garbage_is_not_parsed(served: Served) -> None:
    workflow_id = await publish(served)
    assert (await post(served, workflow_id, b'{"a":', headers={"Content-Type": "application/json"}))[0] == 401


async def test_organizations_start_limit_holds(tmp_path: Path) -> None:
    async with open_app(tmp_path, EngineConfig(starts_per_s_per_org=1)) as served:
        workflow_id = await publish(served)
        first, second = signed(served, b"1"), signed(served, b"2")
        assert (await post(served, workflow_id, b"1", headers=first))[0] == 202
        assert (await post(served, workflow_id, b"2", headers=second))[0] == 429
        assert (await post(served, workflow_id, b"1", headers=first))[0] == 202  # known already
        served.clock.advance(1000)
        assert (await post(served, workflow_id, b"2", headers=second))[0] == 202  # a refusal is not remembered


@pytest.mark.parametrize(
    ("trigger", "path"),
    [
        ({}, "trigger"),
        ({"secret": ""}, "trigger.secret"),
        ({"secret": None}, "trigger.secret"),
        ({"secret": "short"}, "trigger.secret"),
        ({"secret": "{{ context.secret_of_mine }}"}, "trigger.secret"),
        ({"secret": SECRET, "scheme": "none"}, "trigger.scheme"),
        ({"secret": SECRET, "tolerance_s": 0}, "trigger.tolerance_s"),
        ({"secret": SECRET, "tolerance_s": 86_400}, "trigger.tolerance_s"),
        ({"secret": "***"}, "trigger.secret"),
        ({"secret": "not base64 !!!!!!!", "scheme": "standard"}, "trigger.secret"),
    ],
)
async def test_publishing_without_a_proper_secret_is_refused(served: Served, trigger: Any, path: str) -> None:
    definition = {"name": "flow", "nodes": [NODE], "trigger": {"type": "webhook", **trigger}}
    status, envelope, _headers = await served.ask("POST", "/workflow-definitions", definition)
    assert status == 422
    assert [fault["path"] for fault in envelope["error"]["details"]] == [path]


async def test_secrets_of_definitions_are_kept_and_never_shown(
    served: Served, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    send = {
        "key": "send",
        "operation": "webhook.send",
        "config": {"url": "http://127.0.0.1:9/", "secret": SECRET + "_2"},
    }
    ask = {
        "key": "ask",
        "operation": "http.request",
        "config": {"url": "http://127.0.0.1:9/", "auth": {"bearer": SECRET + "_3"}},
    }
    from_context = {
        "key": "late",
        "operation": "webhook.send",
        "config": {"url": "http://x/", "secret": "{{ context.s }}"},
    }
    trigger = {"type": "webhook", "secret": SECRET}
    definition = {"name": "flow", "nodes": [send, ask, from_context], "trigger": trigger}
    saved = await served.data("POST", "/workflow-definitions", definition, 201)
    shown = await served.data("GET", f"/workflow-definitions/{saved['id']}", key="acme viewer")
    for told in (saved["definition"], shown["definition"]):
        assert told["trigger"] == {"type": "webhook", "secret": "***"}
        assert [node["config"].get("secret") for node in told["nodes"]] == ["***", None, "{{ context.s }}"]
        assert told["nodes"][1]["config"]["auth"] == {"bearer": "***"}
    same = await served.data("POST", "/workflow-definitions", definition, 201)
    assert (same["changed"], same["version"]) == (False, 1)
    exported = await served.data("POST", "/workflow-definitions", shown["definition"], 201)
    assert (exported["changed"], exported["version"]) == (False, 1)
    moved = msgspec.json.decode(msgspec.json.encode(shown["definition"]))
    moved["nodes"][0]["config"]["url"] = "http://127.0.0.1:10/"
    changed = await served.data("POST", "/workflow-definitions", moved, 201)
    assert (changed["changed"], changed["version"]) == (True, 2)
    assert (await post(served, saved["id"]))[0] == 202  # still signed with what the first version was given
    rotated = await served.data(
        "POST", "/workflow-definitions", moved | {"trigger": {"type": "webhook", "secret": SECRET + "_4"}}, 201
    )
    assert rotated["version"] == 3
    assert (await post(served, saved["id"], b"1", headers=signed(served, b"1")))[0] == 401
    new = signed(served, b"1", SECRET + "_4")
    assert (await post(served, saved["id"], b"1", headers=new))[0] == 202
    listed = await served.ask("GET", "/workflow-definitions")
    first = await served.ask("GET", f"/workflow-definitions/{saved['id']}?version=1")
    events = await served.app.database.read(lambda conn: conn.execute("SELECT payload FROM events").fetchall())
    runs = await served.ask("GET", "/workflow-runs")
    assert "canary" not in repr((listed[1], first[1], events, runs[1]))
    assert "canary" not in caplog.text
    await served.app.database.checkpoint()
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("alloyd.db*"))
    assert b"canary" not in stored
