"""A trigger by multipart/form-data: fields and files in the payload, bounds, repeats, and nothing left of refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.config import EngineConfig
from alloyd.config.model import StorageConfig
from alloyd.domain.objects.model import NewObject
from alloyd.errors import AlloydError, Code
from alloyd.kit.ids import new_id
from tests.app import Served, open_app
from tests.machine import node

ECHO = node("echo", operation="transform", config={"values": {"got": "{{ trigger }}"}})
FILE_MAX, FIELDS_MAX = 4096, 2048
END = b"--XX--\r\n"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    engine, storage = EngineConfig(payload_bytes_max=FIELDS_MAX), StorageConfig(max_upload_bytes=FILE_MAX)
    async with open_app(tmp_path, engine=engine, storage=storage) as served:
        yield served


def field(name: str, value: bytes, more: str = "") -> bytes:
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + value + b"\r\n"


def file(name: str, content: bytes = b"abc", filename: str = "a.txt") -> bytes:
    return field(name, content, f'; filename="{filename}"')


async def post(served: Served, workflow_id: str, body: bytes, boundary: str = "XX", **headers: str) -> tuple[int, Any]:
    given = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Prefer": "wait=30", **headers}
    status, answer, _headers = await served.trigger(
        workflow_id, body.replace(b"--XX", f"--{boundary}".encode()), headers=given
    )
    return status, answer


async def usage(served: Served) -> tuple[int, int, int]:
    """Input bytes, output bytes, files."""
    sums = await served.app.objects.usage(served.orgs["acme"])
    return sums.input_bytes, sums.output_bytes, sums.files


async def test_fields_and_files(served: Served) -> None:
    workflow_id = await served.publish(ECHO, name="echo")
    body = (
        field("title", "é".encode()) + field("tag", b"x") + file("doc", b"hello", "C:\\me\\r.txt") + field("tag", b"y")
    )
    body += file("more", b"1") + file("more", b"22", "b.png") + field("payload", b'{"n": [1], "ok": true}')
    body += field("none", b"", '; filename=""') + field("data", b"text")
    status, answer = await post(served, "echo", body + END)
    assert status == 200, answer
    run_id, got = answer["data"]["runId"], answer["data"]["result"]["output"]["got"]
    doc, more = got.pop("doc"), got.pop("more")
    assert got == {"title": "é", "tag": ["x", "y"], "n": [1], "ok": True, "data": "text"}
    assert doc.keys() == {"object_key", "url", "filename", "size", "content_type"}
    assert (doc["filename"], doc["size"], doc["content_type"]) == ("r.txt", 5, "text/plain")
    assert doc["object_key"].startswith(f"acme/{workflow_id}/{run_id}/input/")
    assert [(one["filename"], one["size"], one["content_type"]) for one in more] == [
        ("a.txt", 1, "text/plain"),
        ("b.png", 2, "image/png"),
    ]
    async with served.session.get(served.url + doc["url"]) as response:
        assert (response.status, await response.read()) == (200, b"hello")
    assert await usage(served) == (8, 0, 3)
    stored = await served.app.objects.find(doc["object_key"])
    assert stored is not None
    assert stored.created_by is None  # a key is no user


@pytest.mark.parametrize(
    ("body", "status", "field_named"),
    [
        (file("doc") + field("t", b"\xff") + END, 400, "t"),
        (file("doc") + field("payload", b"{") + END, 400, "payload"),
        (file("doc") + field("data", b'{"doc": 1}') + END, 400, "doc"),
        (field("data", b'{"a": 1}') + file("doc") + field("payload", b'{"a": 1}') + END, 400, "payload"),
        (file("doc") + field("n", b"x", '; filename=""') + END, 400, "n"),
        (file("doc") + file("two", filename="..") + END, 400, "two"),
        (file("doc") + file("two", b"x" * (FILE_MAX + 1)) + END, 413, "two"),
        (file("doc") + field("a", b"x" * 1024) + field("b", b"x" * 1024) + END, 413, "b"),
        (file("doc"), 400, "body"),
        (b"".join(file(f"f{n}") for n in range(17)) + END, 400, "body"),
    ],
)
async def test_refused_and_nothing_left(served: Served, body: bytes, status: int, field_named: str) -> None:
    workflow_id = await served.publish(ECHO)
    got, answer = await post(served, workflow_id, body)
    assert got == status, answer
    assert answer["message"].startswith(f"{field_named}: ")
    assert await served.count_runs() == 0
    assert await usage(served) == (0, 0, 0)


async def test_at_the_bound_of_a_file(served: Served) -> None:
    status, answer = await post(served, await served.publish(ECHO), file("doc", b"x" * FILE_MAX) + END)
    assert status == 200, answer
    assert await usage(served) == (FILE_MAX, 0, 1)


async def test_no_such_workflow(served: Served) -> None:
    await served.principal()
    assert (await post(served, new_id(), file("doc") + END))[0] == 404
    assert await usage(served) == (0, 0, 0)


async def test_the_start_is_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow_id = await served.publish(ECHO)

    async def refuse(*_args: Any, **_more: Any) -> Any:
        assert await usage(served) == (3, 0, 1)
        raise AlloydError(Code.RATE_LIMITED, "too many")

    monkeypatch.setattr(served.app.runs, "start", refuse)
    assert (await post(served, workflow_id, file("doc") + END))[0] == 429
    assert await usage(served) == (0, 0, 0)


async def test_a_repeat_gives_the_first_run_and_keeps_no_second_file(served: Served) -> None:
    workflow_id, key = await served.publish(ECHO), {"Idempotency-Key": "k1"}
    first = await post(served, workflow_id, field("a", b"1") + file("doc") + END, **key)
    again = await post(served, workflow_id, file("doc") + field("a", b"1") + END, boundary="other", **key)
    assert first[0] == 200
    assert again == first
    assert await usage(served) == (3, 0, 1)
    for other in (
        file("doc", b"abd") + field("a", b"1"),
        file("doc") + field("a", b"2"),
        file("dog") + field("a", b"1"),
    ):
        status, answer = await post(served, workflow_id, other + END, **key)
        assert (status, answer["error"]) == (409, "conflict")
    assert await usage(served) == (3, 0, 1)
    assert await served.count_runs() == 1


async def test_they_go_with_their_run(served: Served) -> None:
    _status, answer = await post(served, await served.publish(ECHO), file("doc") + END)
    assert await usage(served) == (3, 0, 1)
    await served.app.objects.delete_of_unstarted(served.orgs["acme"], answer["data"]["runId"])
    assert await usage(served) == (3, 0, 1)  # its run is there
    served.clock.advance(400 * 86_400_000)
    await served.app.retention.sweep()
    assert await served.count_runs() == 0
    assert await usage(served) == (0, 0, 0)


async def test_what_a_crash_left_goes_at_the_next_start(tmp_path: Path) -> None:
    async def whole() -> AsyncIterator[bytes]:
        yield b"abc"

    async with open_app(tmp_path) as served:
        who, workflow_id = await served.principal(), await served.publish(ECHO)
        await post(served, workflow_id, file("doc", b"12345") + END)
        await served.app.objects.put(who, NewObject("input", "a", None, workflow_id, new_id()), whole())
        assert await usage(served) == (8, 0, 2)
        orgs = served.orgs
    async with open_app(tmp_path) as served:
        served.orgs.update(orgs)
        assert await usage(served) == (5, 0, 1)
