"""Files in a run: read, written, listed and deleted, each safe to repeat."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.domain.operations.catalogue import get_operation
from alloyd.domain.operations.model import Done, OperationError
from alloyd.domain.operations.validation import check_config
from alloyd.errors import AlloydError, Code

READ, WRITE = get_operation("storage.read"), get_operation("storage.write")
LIST, DELETE = get_operation("storage.list"), get_operation("storage.delete")


@pytest.mark.parametrize(
    ("content", "mime_type", "wanted", "value", "encoding"),
    [
        (b'{"a":1}', "application/json", "auto", {"a": 1}, "json"),
        (b'{"a":1}', "application/problem+json; x=y", "auto", {"a": 1}, "json"),
        (b'{"a"', "application/json", "auto", '{"a"', "text"),
        (b"\xff{", "application/json", "auto", "/3s=", "base64"),
        (b"h\xc3\xa9", "text/plain", "auto", "hé", "text"),
        (b"<a/>", "image/svg+xml", "auto", "<a/>", "text"),
        (b"\xff", "text/plain", "auto", "/w==", "base64"),
        (b"ab", "image/png", "auto", "YWI=", "base64"),
        (b"ab", None, "auto", "YWI=", "base64"),
        (b"[1]", "image/png", "json", [1], "json"),
        (b"\xef\xbb\xbf[1]", "text/plain", "json", [1], "json"),
        (b"[1]", "application/json", "text", "[1]", "text"),
        (b"[1]", "application/json", "base64", "WzFd", "base64"),
    ],
)
async def test_read(
    run: Any, files: Any, content: bytes, mime_type: str | None, wanted: str, value: Any, encoding: str
) -> None:
    files.put("a/b", content, mime_type)
    done = await run(READ, {"path": "a/b", "as": wanted})
    assert done == Done(
        {"meta": {"path": "a/b", "size": len(content), "mime_type": mime_type}, "content": value, "encoding": encoding}
    )


async def test_read_only_what_is_known_about_a_large_file(run: Any, files: Any) -> None:
    files.put("big", b"x" * 100_000)
    done = await run(READ, {"path": "big", "as": "none"})
    assert done.output == {
        "meta": {"path": "big", "size": 100_000, "mime_type": None},
        "content": None,
        "encoding": "none",
    }


@pytest.mark.parametrize(
    ("content", "config", "code", "words"),
    [
        (None, {}, "not_found", "not found"),
        (b"x" * 4097, {}, "too_large", "as: none"),
        (b"x" * 4000, {"as": "base64"}, "too_large", "as: none"),
        (b"x", {"as": "json"}, "bad_content", "is not valid JSON"),
        (b"[" * 65 + b"]" * 65, {"as": "json"}, "bad_content", "more than 64 levels"),
        (b"[" * 3000, {"as": "json"}, "bad_content", "is not valid JSON"),
        (b"\xff", {"as": "text"}, "bad_content", "not UTF-8"),
    ],
)
async def test_read_refusals(
    run: Any, files: Any, content: bytes | None, config: dict[str, Any], code: str, words: str
) -> None:
    if content is not None:
        files.put("f", content)
    with pytest.raises(OperationError, match=words) as caught:
        await run(READ, {"path": "f", **config})
    assert (caught.value.code, caught.value.path, caught.value.retryable) == (code, "path", False)


@pytest.mark.parametrize(
    ("config", "stored", "mime_type"),
    [
        ({"content": "hé"}, b"h\xc3\xa9", None),
        ({"content": "x", "mime_type": "text/html"}, b"x", "text/html"),
        ({"content": {"a": [1, None]}}, b'{"a":[1,null]}', "application/json"),
        ({"content": None}, b"null", "application/json"),
        ({"content": 5, "mime_type": "text/plain"}, b"5", "text/plain"),
        ({"content": "YW\nI=", "encoding": "base64"}, b"ab", None),
    ],
)
async def test_write(run: Any, files: Any, config: dict[str, Any], stored: bytes, mime_type: str | None) -> None:
    for attempt in (1, 2):
        done = await run(WRITE, {"path": "out", **config}, attempt=attempt)
        assert done == Done({"path": "out", "size": len(stored), "mime_type": mime_type})
        assert files.content == {"out": stored}


@pytest.mark.parametrize(
    ("config", "faults"),
    [
        ({"path": "a", "content": "x"}, []),
        ({"path": "a", "content": "{{ trigger }}", "encoding": "base64"}, []),
        ({"path": "", "content": "x"}, ["path"]),
        ({"path": "a"}, ["content"]),
        ({"path": "a", "encoding": "base64"}, ["content"]),
        ({"path": "a", "content": "%%", "encoding": "base64"}, ["content"]),
        ({"path": "a", "content": {}, "encoding": "base64"}, ["content"]),
        ({"path": "a", "content": "x", "encoding": "hex"}, ["encoding"]),
    ],
)
def test_check_write(config: dict[str, Any], faults: list[str]) -> None:
    assert [fault.path for fault in check_config(WRITE, config)] == faults


async def test_list(run: Any, files: Any) -> None:
    for name in ("a", "b", "c"):
        files.put(name, b"")
    first = await run(LIST, {"limit": 2})
    assert first == Done({"path": "/", "items": [{"name": "a"}, {"name": "b"}], "next_cursor": "2"})
    rest = await run(LIST, {"cursor": "2"})
    assert rest == Done({"path": "/", "items": [{"name": "c"}], "next_cursor": None})


@pytest.mark.parametrize("limit", [0, 1001, "{{ trigger.n }}"])
def test_check_list(limit: Any) -> None:
    expected = [] if isinstance(limit, str) else ["limit"]
    assert [fault.path for fault in check_config(LIST, {"limit": limit})] == expected


@pytest.mark.parametrize(
    ("config", "attempt", "there", "deleted"),
    [
        ({}, 1, True, True),
        ({"missing_ok": True}, 1, True, True),
        ({"missing_ok": True}, 1, False, False),
        ({}, 2, False, False),  # the attempt before may have deleted it
        ({}, 2, True, True),
    ],
)
async def test_delete(run: Any, files: Any, config: dict[str, Any], attempt: int, there: bool, deleted: bool) -> None:
    if there:
        files.put("f", b"")
    assert await run(DELETE, {"path": "f", **config}, attempt=attempt) == Done({"path": "f", "deleted": deleted})
    assert files.content == {}


async def test_delete_what_is_missing(run: Any) -> None:
    with pytest.raises(OperationError) as caught:
        await run(DELETE, {"path": "f"})
    assert (caught.value.code, caught.value.path, caught.value.retryable) == ("not_found", "path", False)


@pytest.mark.parametrize(
    ("operation", "config"),
    [(READ, {}), (READ, {"as": "none"}), (WRITE, {"content": ""}), (LIST, {}), (DELETE, {"missing_ok": True})],
)
@pytest.mark.parametrize(
    ("code", "retryable"), [(Code.UNAVAILABLE, True), (Code.BAD_REQUEST, False), (Code.INTERNAL, False)]
)
async def test_what_storage_says(
    run: Any, files: Any, operation: Any, config: dict[str, Any], code: Code, retryable: bool
) -> None:
    files.put("f", b"")
    files.fault = AlloydError(code, "storage says no", retry_after_s=1 if retryable else None)
    with pytest.raises(OperationError, match="storage says no") as caught:
        await run(operation, {"path": "f", **config})
    assert (caught.value.code, caught.value.path, caught.value.retryable) == (code.value, "path", retryable)
    assert caught.value.retry_after_ms == (1000 if retryable else None)
