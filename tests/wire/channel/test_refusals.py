"""What the channel refuses, the keys that open it, and what is told of a run that failed."""

from __future__ import annotations

import pytest

from alloyd.config import EventsConfig, ProviderConfig
from alloyd.domain.teammates.model import MESSAGE_BYTES_MAX, Channel
from alloyd.kit.ids import new_id
from tests.app import open_app
from tests.vendor import Held, open_vendor, says
from tests.wire.channel.conftest import Line
from tests.wire.channel.test_messages import frames_of

# So late that a step does not wait for it.
MUCH_LATER = {"Retry-After": "36000"}
PATHS = (("POST", "/{}/messages"), ("GET", "/{}/runs"), ("GET", "/{}/runs/x"))


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_what_is_not_on_the_channel_is_not_there(line: Line, method: str, path: str) -> None:
    ids = [
        await line.make("Mute", channel=Channel.NONE),
        await line.make("Web", channel=Channel.WEBCHAT),
        await line.make("Theirs", slug="other"),
        new_id(),
        "x",
    ]
    body = {"message": "hello"} if method == "POST" else None
    told = [await line.ask(method, path.format(id_), body) for id_ in ids]
    assert {(status, str(answer)) for status, answer, _headers in told} == {
        (404, "{'success': False, 'error': 'not_found', 'message': 'teammate not found'}")
    }
    assert await line.run_ids() == []


async def test_a_bound_key_opens_its_own_channel_and_nothing_else(line: Line) -> None:
    ada, bob = await line.make("Ada"), await line.make("Bob")
    raw = await line.bound_key(ada)
    body = {"message": "hello"}
    status, answer, _headers = await line.ask("POST", f"/{ada}/messages", body, raw)
    assert (status, answer["data"]["reply"]) == (200, "hello")
    run_id = answer["data"]["runId"]
    assert (await line.ask("GET", f"/{ada}/runs/{run_id}", raw=raw))[0] == 200
    assert (await line.ask("GET", f"/{ada}/runs", raw=raw))[0] == 200
    for method, path in PATHS:
        status, answer, _headers = await line.ask(method, path.format(bob), body if method == "POST" else None, raw)
        assert (status, answer["message"]) == (404, "teammate not found")
    for path, header in (("/v1/models", "Authorization"), ("/v1/me", "Authorization"), ("/api/private/storage", "")):
        headers = {"Authorization": f"Bearer {raw}"} if header else {"api-key": raw}
        async with line.served.session.get(line.served.url + path, headers=headers) as response:
            assert response.status == 401, path


async def test_only_its_own_header_opens_it(line: Line) -> None:
    ada = await line.make()
    headers = {"Authorization": f"Bearer {await line.served.key('acme')}"}
    url = f"{line.served.url}/api/teammates/{ada}/messages"
    async with line.served.session.post(url, json={"message": "x"}, headers=headers) as response:
        assert response.status == 401
        assert (await response.json())["error"] == "unauthorized"


async def test_a_viewer_reads_and_does_not_talk(line: Line) -> None:
    ada = await line.make()
    status, answer, _headers = await line.ask("POST", f"/{ada}/messages", {"message": "x"}, key="acme viewer")
    assert (status, answer["error"]) == (403, "forbidden")
    assert (await line.ask("GET", f"/{ada}/runs", key="acme viewer"))[0] == 200


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "message: "),
        ({"message": ""}, 400, "message: "),
        ({"message": " \n"}, 400, "message: "),
        ({"message": "a\0b"}, 400, "message: holds a NUL"),
        ({"message": 7}, 400, "message: "),
        ({"message": "x", "conversation_id": "x"}, 400, "conversation_id: "),
        ({"message": "x", "conversation_id": 7}, 400, "conversation_id: "),
        ({"message": "x", "conversation_id": new_id()}, 404, "conversation not found"),
        ([], 400, "body: "),
        (b"{", 400, "body: "),
        (b'{"message": "\xff"}', 400, "body: "),
        ({"message": "x" * MESSAGE_BYTES_MAX}, 413, "body: "),
        (b"x" * (MESSAGE_BYTES_MAX + 1), 413, "body: "),
    ],
)
async def test_what_is_wrong_is_named(line: Line, body: object, status: int, words: str) -> None:
    ada = await line.make()
    got, answer, _headers = await line.ask("POST", f"/{ada}/messages", body)
    assert (got, answer["success"]) == (status, False), answer
    assert answer["message"].startswith(words), answer
    assert await line.run_ids() == []


async def test_too_long_a_wait(line: Line) -> None:
    ada = await line.make()
    status, answer, _headers = await line.ask("POST", f"/{ada}/messages", {"message": "x"}, Prefer="wait=9999")
    assert (status, answer["message"][:6]) == (400, "Prefer")
    assert await line.run_ids() == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/x/messages", 405, "method_not_allowed"),
        ("GET", "", 404, "not_found"),
        ("GET", "/x/y", 404, "not_found"),
    ],
)
async def test_other_paths_in_its_words(line: Line, method: str, path: str, status: int, code: str) -> None:
    got, answer, _headers = await line.ask(method, path)
    assert (got, answer["error"], answer["success"]) == (status, code, False)


@pytest.mark.parametrize(("vendors", "status", "code"), [(503, 502, "upstream_failed"), (400, 422, "unprocessable")])
async def test_a_run_that_fails_is_named(line: Line, vendors: int, status: int, code: str) -> None:
    line.vendor.replies = [says({"error": {"message": "no thanks"}}, vendors, headers=MUCH_LATER)]
    ada = await line.make(provider="main", model="m")
    got, answer, headers = await line.ask("POST", f"/{ada}/messages", {"message": "x"})
    assert (got, answer["error"]) == (status, code), answer
    (run_id,) = await line.run_ids()
    assert answer["runId"] == headers["X-Alloyd-Run-Id"] == run_id
    got, answer, _headers = await line.ask("GET", f"/{ada}/runs/{run_id}")
    assert (got, answer["data"]["status"], answer["data"]["reply"]) == (200, "failed", None)
    assert str(vendors) in answer["data"]["error"]["message"]


async def test_a_stream_shows_that_it_lives_and_tells_a_failure(tmp_path) -> None:  # type: ignore[no-untyped-def]
    held = Held([])

    async def fails(request, asked):  # type: ignore[no-untyped-def]
        held.opened.set()
        await held.goes_on.wait()
        return await says({"error": {"message": "no thanks"}}, 400)(request, asked)

    async with open_vendor(fails) as vendor:
        main = {"main": ProviderConfig(base_url=vendor.url)}
        async with open_app(tmp_path, providers=main, events=EventsConfig(heartbeat_s=1)) as served:
            line = Line(served, vendor)
            ada = await line.make(provider="main", model="m")
            headers = {"api-key": await served.key("acme"), "Accept": "text/event-stream"}
            url = f"{served.url}/api/teammates/{ada}/messages"
            async with served.session.post(url, json={"message": "x"}, headers=headers) as response:
                assert response.status == 200
                assert await response.content.readuntil(b"\n\n") == b": heartbeat\n\n"
                held.goes_on.set()
                found = frames_of(await response.text())
    ((name, told),) = found
    assert (name, told["code"]) == ("error", "unprocessable")
    assert told["details"][0]["run_id"] == response.headers["X-Alloyd-Run-Id"]


async def test_the_log(line: Line) -> None:
    ada, bob = await line.make("Ada"), await line.make("Bob", provider="main", model="m")
    said = [await line.say(ada, text) for text in ("one", "two", "three")]
    line.vendor.replies = [says({}, 503, headers=MUCH_LATER)]
    await line.ask("POST", f"/{bob}/messages", {"message": "x"})
    status, answer, _headers = await line.ask("GET", f"/{ada}/runs?limit=2")
    page = answer["data"]
    assert (status, [row["reply"] for row in page["items"]]) == (200, ["three", "two"])
    row = page["items"][0]
    assert (row["runId"], row["conversation_id"]) == (said[2]["runId"], said[2]["conversation_id"])
    assert (row["status"], row["trigger"], row["error"], row["usage"]["cost_usd"]) == ("completed", "teammate", None, 0)
    assert row["created_at"].endswith("Z")
    assert row["duration_ms"] == 0
    _status, answer, _headers = await line.ask("GET", f"/{ada}/runs?limit=2&cursor={page['next_cursor']}")
    assert [row["reply"] for row in answer["data"]["items"]] == ["one"]
    assert answer["data"]["next_cursor"] is None
    _status, answer, _headers = await line.ask("GET", f"/{bob}/runs?status=failed")
    assert [row["error"]["code"] for row in answer["data"]["items"]] == ["upstream_failed"]
    _status, answer, _headers = await line.ask("GET", f"/{ada}/runs?status=failed")
    assert answer["data"] == {"items": [], "next_cursor": None}
    for query in ("limit=0", "limit=201", "cursor=x", "status=odd"):
        status, answer, _headers = await line.ask("GET", f"/{ada}/runs?{query}")
        assert (status, answer["message"].partition(":")[0]) == (400, query.partition("=")[0])
    ours = answer = await line.ask("GET", f"/{ada}/runs/{(await line.run_ids())[-1]}")  # Bob's
    assert (ours[0], ours[1]["message"]) == (404, "run not found")
