"""Assets in a job's input: objects of its run, counted exactly, shown to the model, gone with the run."""

from __future__ import annotations

import asyncio
import base64
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alloyd.domain.keys.model import CreateKey
from alloyd.domain.providers import attachments
from alloyd.errors import AlloydError, Code
from alloyd.kit.ids import new_id
from alloyd.principal import SCOPES, Kind, Principal, Role
from tests.app import Served, open_app

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


async def asset(served: Served, content: bytes, kind: str = "text/plain", key: str = "acme", name: str = "a") -> str:
    path, headers = f"/assets?filename={name}", {"Content-Type": kind}
    made: str = (await served.data("POST", path, content, 201, key=key, headers=headers))["id"]
    return made


async def finish(served: Served, given: Any, modality: str = "text") -> Any:
    job = await served.data("POST", "/jobs", {"modality": modality, "input": given}, 202)
    headers = {"Authorization": f"Bearer {await served.key('acme')}"}
    async with served.session.get(f"{served.url}/v1/jobs/{job['id']}/events", headers=headers) as response:
        await response.read()
    return await served.data("GET", f"/jobs/{job['id']}")


async def sums(served: Served) -> tuple[int, int]:
    """Input bytes and files, after they were compared with the objects that are there."""
    org_id = served.orgs["acme"]
    told = await served.app.objects.usage(org_id)
    listed = await served.app.objects.list_page(org_id, None, 10_000)
    assert (told.files, told.input_bytes) == (len(listed), sum(one.size for one in listed))
    assert (told.output_bytes, told.workflows) == (0, ())
    return told.input_bytes, told.files


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (lambda one: one, "Hello"),
        (lambda one: {"prompt": one}, "Hello"),
        (lambda one: {"messages": [{"role": "user", "content": one}]}, "Hello"),
        (lambda one: [{"role": "user", "content": ["See: ", one]}], "See: Hello"),
        (lambda one: [{"role": "user", "content": [{"type": "text", **one}]}], "Hello"),
    ],
)
async def test_a_text(served: Served, place: Any, said: str) -> None:
    asset_id = await asset(served, b"\xef\xbb\xbfHello", name="hello.txt")
    job = await finish(served, place({"asset_id": asset_id.upper()}))
    assert job["status"] == "completed", job
    assert job["output"]["text"] == said
    [stored] = await served.app.objects.list_page(served.orgs["acme"], None, 10)
    reference = {
        "asset_id": asset_id.upper(),
        "object_key": stored.key,
        "url": f"/api/v1/objects/download?objectKey={stored.key.replace('/', '%2F')}",
        "filename": "hello.txt",
        "size": 8,
        "content_type": "text/plain",
    }
    found = attachments.list_attached(job["input"])[0].given
    assert reference == {name: found[name] for name in reference}
    assert stored.key.startswith(f"acme/-/{job['id']}/input/")
    assert await sums(served) == (8, 1)
    await served.data("DELETE", f"/assets/{asset_id}")
    async with served.session.get(served.url + reference["url"]) as response:
        assert (response.status, await response.read()) == (200, b"\xef\xbb\xbfHello")


@pytest.mark.parametrize(
    "place",
    [
        lambda one: one,
        lambda one: [{"role": "user", "content": one}],
        lambda one: [{"role": "user", "content": [one, "What is it?"]}],
        lambda one: [{"role": "user", "content": [{"type": "image", "source": {"type": "asset", **one}}]}],
    ],
)
async def test_an_image_is_shown_to_the_model(served: Served, place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    execute = served.app.gateway.execute

    async def note(principal: Any, request: Any, *more: Any) -> Any:
        asked.append(request.input)
        return await execute(principal, request, *more)

    monkeypatch.setattr(served.app.gateway, "execute", note)
    job = await finish(served, place({"asset_id": await asset(served, PNG, "image/png")}))
    assert job["status"] == "completed", job
    assert base64.b64encode(PNG).decode() in msgspec.json.encode(asked).decode()
    assert await sums(served) == (len(PNG), 1)


async def test_one_asset_twice_is_one_object(served: Served) -> None:
    one = {"asset_id": await asset(served, b"ab")}
    job = await finish(served, [{"role": "user", "content": [one, one, {"asset_id": await asset(served, b"c")}]}])
    assert job["output"]["text"] == "ababc"
    assert await sums(served) == (3, 2)


async def test_texts_to_embed(served: Served) -> None:
    one = {"asset_id": await asset(served, b"ab")}
    assert (await finish(served, [one, "c"], "embedding"))["status"] == "completed"


async def test_an_empty_asset(served: Served) -> None:
    one = {"asset_id": await asset(served, b"")}
    assert (await finish(served, [{"role": "user", "content": ["x", one]}]))["status"] == "completed"
    assert await sums(served) == (0, 1)


async def test_what_tools_were_called_with_is_their_own(served: Served) -> None:
    call = {"id": "1", "name": "buy", "arguments": {"asset_id": "house"}}
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]
    assert (await finish(served, messages))["status"] == "completed"
    assert await sums(served) == (0, 0)


MINE = "<the asset>"


def put_in(given: Any, asset_id: str) -> Any:
    return msgspec.json.decode(msgspec.json.encode(given).replace(MINE.encode(), asset_id.encode()))


@pytest.mark.parametrize(
    ("given", "content", "kind", "status", "message"),
    [
        ({"asset_id": 7}, b"a", "", 400, "input.asset_id: the id of an asset is wanted"),
        ({"prompt": {"asset_id": "../x"}}, b"a", "", 400, "input.prompt.asset_id: the id of an asset is wanted"),
        ({"asset_id": new_id()}, b"a", "", 404, "input.asset_id: asset not found"),
        (
            [{"content": [{"asset_id": MINE}]}],
            b"\xff\xfe",
            "application/pdf",
            400,
            "input[0].content[0]: text in UTF-8, or an image (png, jpeg, gif or webp), is wanted; the asset is app",
        ),
        (
            {"asset_id": MINE},
            b"a\0b",
            "text/plain",
            400,
            "input: text in UTF-8, or an image (png, jpeg, gif or webp), ",
        ),
        ({"prompt": {"asset_id": MINE}}, PNG, "image/png", 400, "input: a text, {prompt}, or {messages: [...]} is"),
        ({"asset_id": MINE}, b"", "text/plain", 400, "input: some text is wanted"),
        ({"asset_id": MINE}, b"x" * 101, "text/plain", 413, "input: the assets of one input have more than 100 bytes"),
        (
            [{"content": [{"asset_id": MINE}] * 33}],
            b"x",
            "text/plain",
            400,
            "input[0].content[32]: at most 32 assets in one input",
        ),
    ],
)
async def test_refused_and_nothing_is_left(
    served: Served, given: Any, content: bytes, kind: str, status: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alloyd.domain.jobs.attaching.ATTACHED_BYTES_MAX", 100)
    monkeypatch.setattr(attachments, "ATTACHED_BYTES_MAX", 100)
    asset_id = await asset(served, content, kind or "text/plain")
    body = {"modality": "text", "input": put_in(given, asset_id)}
    got, envelope, _headers = await served.ask("POST", "/jobs", body)
    assert (got, envelope["error"]["message"][: len(message)]) == (status, message)
    assert envelope["error"]["details"]["field"] == message.partition(":")[0]
    assert await sums(served) == (0, 0)
    assert await served.count_runs() == 0


async def test_the_bound_is_of_all_together(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alloyd.domain.jobs.attaching.ATTACHED_BYTES_MAX", 100)
    content = [{"asset_id": await asset(served, b"x" * 60)}, {"asset_id": await asset(served, b"x" * 41)}]
    got, envelope, _ = await served.ask("POST", "/jobs", {"modality": "text", "input": [{"content": content}]})
    assert (got, envelope["error"]["details"]["field"]) == (413, "input[0].content[1]")
    content.pop()
    content.append({"asset_id": await asset(served, b"x" * 40)})
    assert (await finish(served, [{"content": content}]))["status"] == "completed"


async def test_another_organizations_asset_is_not_found(served: Served) -> None:
    foreign = await asset(served, b"secret", key="other")
    await served.key("acme")
    got, envelope, _ = await served.ask("POST", "/jobs", {"modality": "text", "input": {"asset_id": foreign}})
    assert (got, envelope["error"]["code"]) == (404, "not_found")
    assert envelope["error"]["message"] == "input.asset_id: asset not found"
    assert await sums(served) == (0, 0)


async def test_who_may_not_read_assets_may_not_have_them_read(served: Served) -> None:
    asset_id = await asset(served, b"secret")
    operator = Principal(Kind.OPERATOR, "operator", served.orgs["acme"], Role.OWNER, SCOPES, platform_admin=True)
    issued = await served.app.keys.create(operator, CreateKey("narrow", ("jobs:write",), Role.MEMBER))
    assert issued.raw is not None
    served.keys["narrow"] = issued.raw
    body = {"modality": "text", "input": {"asset_id": asset_id}}
    got, envelope, _ = await served.ask("POST", "/jobs", body, key="narrow")
    assert (got, envelope["error"]["message"]) == (403, "input.asset_id: the caller may not read assets")
    assert await sums(served) == (0, 0)


async def test_the_start_is_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    asset_id = await asset(served, b"abc")

    async def refuse(*_args: Any, **_more: Any) -> Any:
        assert await sums(served) == (3, 1)
        raise AlloydError(Code.RATE_LIMITED, "too many")

    monkeypatch.setattr(served.app.runs, "start", refuse)
    got, _envelope, _ = await served.ask("POST", "/jobs", {"modality": "text", "input": {"asset_id": asset_id}})
    assert got == 429
    assert await sums(served) == (0, 0)


async def test_who_leaves_leaves_no_object_without_a_job(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    asset_id, starting, go = await asset(served, b"abc"), asyncio.Event(), asyncio.Event()
    start = served.app.runs.start

    async def hold(*args: Any, **more: Any) -> Any:
        starting.set()
        await go.wait()
        return await start(*args, **more)

    monkeypatch.setattr(served.app.runs, "start", hold)
    body = {"modality": "text", "input": {"asset_id": asset_id}}
    asking = asyncio.ensure_future(served.ask("POST", "/jobs", body))
    await starting.wait()
    asking.cancel()
    go.set()
    while not (listed := await served.data("GET", "/jobs")):
        await asyncio.sleep(0)
    assert len(listed) == 1
    assert await sums(served) == (3, 1)


async def test_copies_of_a_request_make_one_job_and_one_object(served: Served) -> None:
    asset_id = await asset(served, b"abc")
    body = {"modality": "text", "input": {"asset_id": asset_id}, "idempotency_key": "k"}
    made = await asyncio.gather(*(served.data("POST", "/jobs", body, 202) for _ in range(8)))
    assert len({job["id"] for job in made}) == 1
    assert await sums(served) == (3, 1)
    await served.data("DELETE", f"/assets/{asset_id}")
    assert (await served.data("POST", "/jobs", body, 202))["id"] == made[0]["id"]


async def test_the_sums_are_exact_while_jobs_come_and_go(served: Served) -> None:
    assets = [await asset(served, b"%d" % number * (number + 1)) for number in range(6)]

    async def one(number: int) -> Any:
        given: dict[str, Any] = {"asset_id": assets[number % 6]}
        if number % 3 == 2:
            given = {"messages": [{"content": [given, {"asset_id": assets[zlib.crc32(b"%d" % number) % 6]}]}]}
        return await finish(served, given)

    jobs = await asyncio.gather(*(one(number) for number in range(24)))
    assert {job["status"] for job in jobs} == {"completed"}
    await sums(served)
    served.clock.advance(400 * 86_400_000)
    fresh, _swept = await asyncio.gather(
        asyncio.gather(*(one(number) for number in range(24))), served.app.retention.sweep()
    )
    expected = [reference for job in fresh for reference in attachments.list_attached(job["input"])]
    kept = {reference.given["object_key"]: reference.given["size"] for reference in expected}
    assert await sums(served) == (sum(kept.values()), len(kept))
    assert await served.count_runs() == 24


async def test_a_workflow_step_takes_assets_of_jobs_alone(served: Served) -> None:
    """In other runs ``{"asset_id"}`` is what it always was: nothing that a model can be shown."""
    other = {"asset_id": new_id(), "object_key": f"other/-/{new_id()}/input/{'x' * 43}/a"}
    for given, code in (({"asset_id": new_id()}, "bad_request"), (other, "not_found")):
        step = {"key": "ask", "operation": "ai.execute", "config": {"modality": "text", "input": given}}
        workflow_id = await served.publish(step, name=code)
        _status, answer, _ = await served.trigger(workflow_id, headers={"Prefer": "wait=30"})
        assert answer["data"]["result"]["error"]["code"] == code
