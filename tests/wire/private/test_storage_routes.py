"""Storage over HTTP: statuses and bodies of every route, and bad input on each of them."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import pytest
from yarl import URL

from alloyd.wire.private.storage import routes
from tests.storage import ONE, Backend

from .conftest import PREFIX, Client

TIME = "2026-01-01T00:00:00.000Z"


async def test_story(client: Client, backend: Backend) -> None:
    """One of everything, with the events it tells and no others."""
    assert await client.data("POST", "/folder", json={"name": "docs"}) == {"path": "docs"}
    assert await client.upload("a.txt", b"hello", "docs/new") == (
        200,
        {"success": True, "data": {"path": "docs/new/a.txt"}},
    )
    assert await client.upload("a.txt", b"hello!", "/docs/new/") == (
        200,
        {"success": True, "data": {"path": "docs/new/a.txt"}},
    )
    meta = {
        "path": "docs/new/a.txt",
        "name": "a.txt",
        "size": 6,
        "created_at": TIME,
        "modified_at": TIME,
        "hash": hashlib.sha256(b"hello!").hexdigest(),
        "mime_type": "text/plain",
    }
    assert await client.data("GET", "/meta?path=docs/new/a.txt") == meta
    item = meta | {"type": "file"}
    folder = {
        "name": "new",
        "path": "docs/new",
        "type": "folder",
        "size": 0,
        "mime_type": None,
        "hash": None,
        "created_at": TIME,
        "modified_at": TIME,
    }
    assert await client.data("GET", "/?path=docs") == {"path": "docs", "items": [folder]}
    assert await client.data("GET", "/?path=/docs/new") == {"path": "docs/new", "items": [item]}
    assert (await client.download("docs/new/a.txt"))[2] == b"hello!"
    body: dict[str, Any] = {"path": "docs/new/a.txt", "new_name": "b.txt"}
    assert await client.data("POST", "/rename", json=body) == {"path": "docs/new/b.txt"}
    body = {"source_path": "docs/new", "dest_path": "/"}
    assert await client.data("POST", "/move", json=body) == {"path": "new"}
    assert await client.data("DELETE", "/file?path=new/b.txt") == {"path": "new/b.txt"}
    assert await client.data("DELETE", "/file?path=/docs/") == {"path": "docs"}
    assert [item["path"] for item in (await client.data("GET", "/"))["items"]] == ["new"]
    assert backend.told() == [
        ("storage_folder.created", "docs"),
        ("storage_folder.created", "docs/new"),
        ("storage_file.created", "docs/new/a.txt"),
        ("storage_file.updated", "docs/new/a.txt"),
        ("storage_file.moved", "docs/new/b.txt"),
        ("storage_folder.moved", "new"),
        ("storage_file.deleted", "new/b.txt"),
        ("storage_folder.deleted", "docs"),
    ]


@pytest.mark.parametrize("path", ["", "/", "?path=", "?path=/", "/?path=//"])
async def test_root_listing(client: Client, path: str) -> None:
    assert await client.data("GET", path) == {"path": "/", "items": []}


async def test_listing_pages(client: Client, backend: Backend) -> None:
    for name in "dcab":
        await backend.put(name)
    await backend.storage.make_folder(ONE, "z")
    found: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(3):
        data = await client.data("GET", "/", params={"limit": "2", **cursor})
        found += [item["name"] for item in data["items"]]
        cursor = {"cursor": data["next_cursor"]} if "next_cursor" in data else {}
    assert (found, cursor) == (["z", "a", "b", "c", "d"], {})
    cursor = {"cursor": (await client.data("GET", "/?limit=1"))["next_cursor"]}
    assert (await client.ask("GET", "/", params={"path": "z", **cursor}))[0] == 400


async def test_large_listing_comes_whole(client: Client, backend: Backend) -> None:
    def fill(tx: Any) -> None:
        tx.executemany(
            "INSERT INTO storage_nodes (id, org_id, parent_id, name, is_file, size, created_at, modified_at) "
            "VALUES (?, 'one', '', ?, 1, 0, 1, 1)",
            ((f"id{n}", f"{n:06}") for n in range(5000)),
        )

    await backend.database.write(fill)
    items = (await client.data("GET", "/"))["items"]
    assert [item["name"] for item in items] == [f"{n:06}" for n in range(5000)]


BAD_PATHS = ["..", "a/../b", "a//b", "a\\b", "a\x01b", "a\x00b", " ", "...", "n" * 256, "/".join("d" * 65)]


@pytest.mark.parametrize("bad", BAD_PATHS)
@pytest.mark.parametrize(
    ("method", "path", "field", "others"),
    [
        ("GET", "/", "path", None),
        ("GET", "/meta", "path", None),
        ("GET", "/download", "path", None),
        ("DELETE", "/file", "path", None),
        ("POST", "/folder", "path", {"name": "n"}),
        ("POST", "/folder", "name", {}),
        ("POST", "/rename", "path", {"new_name": "n"}),
        ("POST", "/rename", "new_name", {"path": "f"}),
        ("POST", "/move", "source_path", {"dest_path": "/"}),
        ("POST", "/move", "dest_path", {"source_path": "f"}),
    ],
)
async def test_bad_paths(
    client: Client, backend: Backend, method: str, path: str, field: str, others: dict[str, str] | None, bad: str
) -> None:
    given: dict[str, Any] = {"params": {field: bad}} if others is None else {"json": {field: bad, **others}}
    status, body = await client.ask(method, path, **given)
    assert (status, body["success"], body["error"]) == (400, False, "bad_request")
    assert body["message"].startswith(f"{field}: ")
    assert backend.told() == []


@pytest.mark.parametrize("bad", ["%ff", "a%00b", "%C3%28", "%ED%A0%80"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/meta"), ("GET", "/download"), ("DELETE", "/file")]
)
async def test_undecodable_queries(client: Client, method: str, path: str, bad: str) -> None:
    url = URL(str(client.http.make_url(f"{PREFIX}{path}")) + f"?path={bad}", encoded=True)
    async with client.http.session.request(method, url, headers={"api-key": "one"}) as response:
        assert response.status == 400
        assert (await response.json())["success"] is False


BAD_BODIES: list[tuple[bytes, str]] = [
    (b"", ": required"),
    (b"{", "body: "),
    (b"null", "body: "),
    (b"[]", "body: "),
    (b'"text"', "body: "),
    (b"{}", ": required"),
    (b"\xff", "body: "),
    (b'{"path": "\xff"}', "body: "),
    (b"[" * 100_000, "body: "),
    (b'{"name": 1, "path": 1, "new_name": 1, "source_path": 1, "dest_path": 1}', ": "),
    (b'{"name": null, "path": null, "new_name": null, "source_path": null, "dest_path": null}', ": "),
    (b'{"path": {"a": 1}, "source_path": [], "name": []}', ": "),
    (b'{"path": "\\ud800", "new_name": "x", "name": "\\ud800", "source_path": "\\ud800", "dest_path": ""}', ": "),
]


@pytest.mark.parametrize(("content", "message"), BAD_BODIES)
@pytest.mark.parametrize("path", ["/folder", "/rename", "/move"])
async def test_bad_bodies(client: Client, backend: Backend, path: str, content: bytes, message: str) -> None:
    await backend.put("a")
    backend.told()
    status, body = await client.ask("POST", path, data=content, headers={"Content-Type": "application/json"})
    assert (status, body["success"], body["error"]) == (400, False, "bad_request")
    assert message in body["message"]
    assert backend.told() == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=x", "limit=1.5", "limit=99999999999", "cursor=x", "cursor="]
)
async def test_bad_pages(client: Client, query: str) -> None:
    status, body = await client.ask("GET", f"/?{query}")
    assert (status, body["message"].split(":")[0]) == (400, query.partition("=")[0])


@pytest.mark.parametrize(
    ("method", "path", "json", "status"),
    [
        ("GET", "/?path=missing", None, 404),
        ("GET", "/?path=f", None, 404),
        ("GET", "/?path=f/g", None, 404),
        ("GET", "/meta", None, 400),
        ("GET", "/meta?path=", None, 400),
        ("GET", "/meta?path=d", None, 400),
        ("GET", "/meta?path=missing", None, 404),
        ("GET", "/download", None, 400),
        ("GET", "/download?path=/", None, 400),
        ("GET", "/download?path=d", None, 400),
        ("GET", "/download?path=missing", None, 404),
        ("DELETE", "/file", None, 400),
        ("DELETE", "/file?path=/", None, 400),
        ("DELETE", "/file?path=missing", None, 404),
        ("POST", "/folder", {"name": "f"}, 409),
        ("POST", "/folder", {"name": "x", "path": "f"}, 400),
        ("POST", "/folder", {"name": "d"}, 200),
        ("POST", "/rename", {"path": "/", "new_name": "x"}, 400),
        ("POST", "/rename", {"path": "missing", "new_name": "x"}, 404),
        ("POST", "/rename", {"path": "f", "new_name": "d"}, 409),
        ("POST", "/rename", {"path": "f", "new_name": "f"}, 200),
        ("POST", "/move", {"source_path": "d", "dest_path": "d/e"}, 400),
        ("POST", "/move", {"source_path": "d", "dest_path": "f"}, 400),
        ("POST", "/move", {"source_path": "d", "dest_path": "missing"}, 404),
        ("POST", "/move", {"source_path": "missing", "dest_path": "d"}, 404),
        ("POST", "/move", {"source_path": "f", "dest_path": "d"}, 409),
        ("POST", "/move", {"source_path": "f", "dest_path": "/"}, 200),
        ("PUT", "/upload", None, 405),
        ("GET", "/upload", None, 405),
        ("POST", "/file", None, 405),
        ("DELETE", "", None, 405),
        ("POST", "/copy", {}, 404),
        ("GET", "/stats", None, 404),
        ("POST", "/share", {}, 404),
    ],
)
async def test_statuses(
    client: Client, backend: Backend, method: str, path: str, json: dict[str, str] | None, status: int
) -> None:
    await backend.put("f")
    await backend.put("d/e/x")
    await backend.put("d/f")
    backend.told()
    for slash in ("", "/"):
        stem, mark, query = path.partition("?")
        found, body = await client.ask(method, stem.rstrip("/") + slash + mark + query, json=json)
        assert found == status, body
        assert body["success"] is (status == 200)
    assert backend.told() == []


async def test_other_organizations_things_are_missing_in_the_same_words(client: Client, backend: Backend) -> None:
    await backend.put("f")
    other = client.as_("two")
    for method, path, json in [
        ("GET", "/meta?path={}", None),
        ("GET", "/download?path={}", None),
        ("GET", "/?path={}", None),
        ("DELETE", "/file?path={}", None),
        ("POST", "/rename", {"path": "{}", "new_name": "x"}),
        ("POST", "/move", {"source_path": "{}", "dest_path": "/"}),
    ]:
        answers = [
            await other.ask(
                method,
                path.format(name),
                json=json and {key: value.format(name) for key, value in json.items()},
            )
            for name in ("f", "g")
        ]
        assert answers[0] == answers[1]
        assert answers[0][0] == 404


def every_route(backend: Backend) -> list[tuple[str, str, str]]:
    return [
        (route.method, route.path.removeprefix("/storage"), route.permission) for route in routes(backend.storage, 1)
    ]


async def test_credential_and_permission_come_first(client: Client, backend: Backend) -> None:
    for (method, path, permission), bad in itertools.product(every_route(backend), [b"", b"{", b"x" * 100]):
        async with client.http.request(
            method, PREFIX + path, data=bad, headers={"Authorization": "Bearer one"}
        ) as response:
            assert response.status == 401
            assert (await response.json())["error"] == "unauthorized"
        status, _body = await client.as_("viewer").ask(method, path, data=bad)
        assert (status == 403) is (permission == "storage.write")


async def test_idempotency_key(client: Client, backend: Backend) -> None:
    async def twice(path: str, headers: dict[str, str], **options: Any) -> tuple[Any, Any]:
        return (
            await client.ask("POST", path, headers=headers, **options),
            await client.ask("POST", path, headers=headers, **options),
        )

    key = {"Idempotency-Key": "k1"}
    first, second = await twice("/folder", key, json={"name": "d"})
    assert first == second == (200, {"success": True, "data": {"path": "d"}})
    assert (await client.ask("POST", "/folder", headers=key, json={"name": "e"}))[0] == 409
    uploads = [await client.upload("f", b"abc", "d", headers=key) for _ in range(2)]
    assert uploads == [(200, {"success": True, "data": {"path": "d/f"}})] * 2
    assert (await client.upload("f", b"abd", "d", headers=key))[0] == 409
    first, second = await twice("/rename", key, json={"path": "d/f", "new_name": "g"})
    assert first == second == (200, {"success": True, "data": {"path": "d/g"}})
    first, second = await twice("/move", key, json={"source_path": "d/g", "dest_path": "/"})
    assert first == second == (200, {"success": True, "data": {"path": "g"}})
    assert [kind for kind, _subject in backend.told()] == [
        "storage_folder.created",
        "storage_file.created",
        "storage_file.moved",
        "storage_file.moved",
    ]
    assert len(backend.files_on_disk()) == 1


async def test_fields_of_no_meaning_are_ignored(client: Client, backend: Backend) -> None:
    body = {"name": "made", "path": "/", "org_id": "another", "overwrite": True}
    assert await client.ask("POST", "/folder", json=body) == (200, {"success": True, "data": {"path": "made"}})
    assert backend.told() == [("storage_folder.created", "made")]


async def test_list_by_the_beginning_of_names(client: Client, backend: Backend) -> None:
    for name in ("ab.txt", "abc", "a%", "b.txt", "\u00e9t\u00e9", "A"):
        await backend.put(name)
    await backend.put("ab/inside")

    async def names(prefix: str, more: dict[str, str] | None = None) -> list[str]:
        found = await client.data("GET", "", params={"prefix": prefix, **(more or {})})
        return [item["name"] for item in found["items"]]

    assert await names("ab") == ["ab", "ab.txt", "abc"]
    assert await names("a%") == ["a%"]
    assert await names("e\u0301") == ["\u00e9t\u00e9"]
    assert await names("zz") == []
    assert len(await names("")) == 7
    page = await client.data("GET", "", params={"prefix": "ab", "limit": "2"})
    assert [item["name"] for item in page["items"]] == ["ab", "ab.txt"]
    assert await names("ab", {"limit": "2", "cursor": page["next_cursor"]}) == ["abc"]
