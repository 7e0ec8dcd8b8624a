"""Use cases of storage: what they change, what they tell, and what they refuse."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from alloyd.domain.idempotency.model import Once
from alloyd.domain.storage.model import Usage
from alloyd.errors import AlloydError, Code
from alloyd.kit.paths import parse_path
from tests.storage import ONE, TWO, Backend, pieces

Act = Callable[[Backend], Awaitable[object]]


async def stocked(backend: Backend) -> None:
    """a.txt, docs/b.txt, docs/deep/c.txt, empty/; nothing told yet."""
    for path in ("a.txt", "docs/b.txt", "docs/deep/c.txt"):
        await backend.put(path, path.encode())
    await backend.storage.make_folder(ONE, "empty")
    backend.told()


STOCK = ["docs/", "docs/deep/", "docs/deep/c.txt", "docs/b.txt", "empty/", "a.txt"]


def put(path: str) -> Act:
    return lambda backend: backend.put(path, b"new")


def rename(path: str, name: str) -> Act:
    return lambda backend: backend.storage.rename(ONE, path, name)


def move(source: str, dest: str) -> Act:
    return lambda backend: backend.storage.move(ONE, source, dest)


def delete(path: str) -> Act:
    return lambda backend: backend.storage.delete(ONE, path)


def folder(name: str, path: str = "/") -> Act:
    return lambda backend: backend.storage.make_folder(ONE, name, path)


@pytest.mark.parametrize(
    ("act", "told", "gone", "come"),
    [
        (put("z"), ["storage_file.created z"], [], ["z"]),
        (put("a.txt"), ["storage_file.updated a.txt"], [], []),
        (
            put("n/m/z"),
            ["storage_folder.created n", "storage_folder.created n/m", "storage_file.created n/m/z"],
            [],
            ["n/", "n/m/", "n/m/z"],
        ),
        (
            put("docs/n/z"),
            ["storage_folder.created docs/n", "storage_file.created docs/n/z"],
            [],
            ["docs/n/", "docs/n/z"],
        ),
        (folder("docs"), [], [], []),
        (folder("deep", "/docs/"), [], [], []),
        (folder("n", "docs"), ["storage_folder.created docs/n"], [], ["docs/n/"]),
        (folder("n", "m"), ["storage_folder.created m", "storage_folder.created m/n"], [], ["m/", "m/n/"]),
        (rename("a.txt", "a.txt"), [], [], []),
        (rename("a.txt", "b.txt"), ["storage_file.moved b.txt"], ["a.txt"], ["b.txt"]),
        (rename("empty", "full"), ["storage_folder.moved full"], ["empty/"], ["full/"]),
        (
            rename("docs", "d"),
            ["storage_folder.moved d"],
            ["docs/", "docs/deep/", "docs/deep/c.txt", "docs/b.txt"],
            ["d/", "d/deep/", "d/deep/c.txt", "d/b.txt"],
        ),
        (move("a.txt", "/"), [], [], []),
        (move("docs/deep", "docs"), [], [], []),
        (move("a.txt", "docs"), ["storage_file.moved docs/a.txt"], ["a.txt"], ["docs/a.txt"]),
        (move("docs/b.txt", "/"), ["storage_file.moved b.txt"], ["docs/b.txt"], ["b.txt"]),
        (
            move("docs/deep", "empty"),
            ["storage_folder.moved empty/deep"],
            ["docs/deep/", "docs/deep/c.txt"],
            ["empty/deep/", "empty/deep/c.txt"],
        ),
        (delete("a.txt"), ["storage_file.deleted a.txt"], ["a.txt"], []),
        (
            delete("/docs"),
            ["storage_folder.deleted docs"],
            ["docs/", "docs/deep/", "docs/deep/c.txt", "docs/b.txt"],
            [],
        ),
    ],
)
async def test_change(backend: Backend, act: Act, told: list[str], gone: list[str], come: list[str]) -> None:
    """These events and no others, and the tree afterwards."""
    await stocked(backend)
    await act(backend)
    assert [f"{kind} {subject}" for kind, subject in backend.told()] == told
    assert sorted(await backend.tree()) == sorted((set(STOCK) - set(gone)) | set(come))


@pytest.mark.parametrize(
    ("act", "code", "field"),
    [
        (put("/"), Code.BAD_REQUEST, "path"),
        (put("docs"), Code.BAD_REQUEST, "file"),
        (put("a.txt/b"), Code.BAD_REQUEST, "path"),
        (put("a.txt/b/c"), Code.BAD_REQUEST, "path"),
        (put("../b"), Code.BAD_REQUEST, "path"),
        (folder("a.txt"), Code.CONFLICT, "name"),
        (folder("n", "a.txt"), Code.BAD_REQUEST, "path"),
        (folder("n/m"), Code.BAD_REQUEST, "name"),
        (folder(""), Code.BAD_REQUEST, "name"),
        (folder("n", "a//b"), Code.BAD_REQUEST, "path"),
        (rename("/", "x"), Code.BAD_REQUEST, "path"),
        (rename("a.txt", "x/y"), Code.BAD_REQUEST, "new_name"),
        (rename("a.txt", ".."), Code.BAD_REQUEST, "new_name"),
        (rename("a.txt", ""), Code.BAD_REQUEST, "new_name"),
        (rename("missing", "x"), Code.NOT_FOUND, "path"),
        (rename("a.txt/b", "x"), Code.NOT_FOUND, "path"),
        (rename("a.txt", "docs"), Code.CONFLICT, "new_name"),
        (rename("docs", "a.txt"), Code.CONFLICT, "new_name"),
        (rename("docs/deep", "b.txt"), Code.CONFLICT, "new_name"),
        (move("/", "docs"), Code.BAD_REQUEST, "source_path"),
        (move("missing", "docs"), Code.NOT_FOUND, "source_path"),
        (move("missing", "missing"), Code.NOT_FOUND, "source_path"),
        (move("a.txt", "missing"), Code.NOT_FOUND, "dest_path"),
        (move("a.txt", "a.txt"), Code.BAD_REQUEST, "dest_path"),
        (move("docs/b.txt", "a.txt"), Code.BAD_REQUEST, "dest_path"),
        (move("docs", "docs"), Code.BAD_REQUEST, "dest_path"),
        (move("docs", "docs/deep"), Code.BAD_REQUEST, "dest_path"),
        (move("docs", "docs/missing"), Code.BAD_REQUEST, "dest_path"),
        (move("a.txt", "a\\b"), Code.BAD_REQUEST, "dest_path"),
        (delete("/"), Code.BAD_REQUEST, "path"),
        (delete(""), Code.BAD_REQUEST, "path"),
        (delete("missing"), Code.NOT_FOUND, "path"),
        (delete("a.txt/b"), Code.NOT_FOUND, "path"),
    ],
)
async def test_refused(backend: Backend, act: Act, code: Code, field: str) -> None:
    """A refusal names its field, changes nothing and tells nothing."""
    await stocked(backend)
    with pytest.raises(AlloydError) as caught:
        await act(backend)
    assert (caught.value.code, caught.value.field) == (code, field)
    assert backend.told() == []
    assert sorted(await backend.tree()) == sorted(STOCK)
    assert len(backend.files_on_disk()) == 3
    assert backend.files_in_tmp() == []
    assert backend.blobs.in_flight == set()


async def test_target_taken_at_move(backend: Backend) -> None:
    await stocked(backend)
    await backend.put("docs/a.txt")
    await backend.storage.make_folder(ONE, "deep")
    for source in ("a.txt", "deep"):
        with pytest.raises(AlloydError) as caught:
            await backend.storage.move(ONE, source, "docs")
        assert caught.value.code is Code.CONFLICT


async def test_event_payloads(backend: Backend) -> None:
    reader = backend.hub.open({"one"})
    await backend.put("d/a.bin", b"abc", mime_type="image/png")
    await backend.storage.rename(ONE, "d/a.bin", "b.bin")
    await backend.storage.move(ONE, "d", "/")
    await backend.storage.rename(ONE, "d", "e")
    await backend.storage.delete(ONE, "e/b.bin")
    about = f'"size":3,"hash":"{hashlib.sha256(b"abc").hexdigest()}","mime_type":"image/png"'
    assert [event.payload.decode() for event in reader.take()] == [
        '{"path":"d"}',
        f'{{"path":"d/a.bin",{about}}}',
        f'{{"path":"d/b.bin",{about},"from":"d/a.bin","to":"d/b.bin"}}',
        '{"path":"e","from":"d","to":"e"}',
        f'{{"path":"e/b.bin",{about}}}',
    ]


async def test_meta_and_overwrite(backend: Backend) -> None:
    await backend.put("a.json", b"{}")
    first = await backend.storage.get_file(ONE, "/a.json")
    backend.clock.advance(5000)
    await backend.put("a.json", b"[1]", mime_type="text/plain")
    second = await backend.storage.get_file(ONE, "a.json")
    assert first.to_meta() == {
        "path": "a.json",
        "name": "a.json",
        "size": 2,
        "created_at": "2026-01-01T00:00:00.000Z",
        "modified_at": "2026-01-01T00:00:00.000Z",
        "hash": hashlib.sha256(b"{}").hexdigest(),
        "mime_type": "application/json",
    }
    assert (second.created_at, second.modified_at) == (first.created_at, first.modified_at + 5000)
    assert (second.size, second.mime_type) == (3, "text/plain")
    assert await backend.get("a.json") == b"[1]"


async def test_one_name_in_any_normal_form(backend: Backend) -> None:
    await backend.put("e\u0301.txt", b"1")
    await backend.put("é.txt", b"2")
    assert await backend.tree() == ["é.txt"]
    assert str(await backend.storage.rename(ONE, "é.txt", "e\u0301.txt")) == "é.txt"


async def test_organizations_do_not_see_each_other(backend: Backend) -> None:
    await stocked(backend)
    await backend.put("docs/b.txt", b"theirs", TWO)
    assert await backend.tree(TWO) == ["docs/", "docs/b.txt"]
    assert await backend.get("docs/b.txt") == b"docs/b.txt"
    for act in (
        backend.storage.get_file(TWO, "a.txt"),
        backend.storage.open_file(TWO, "a.txt"),
        backend.storage.list_folder(TWO, "empty"),
        backend.storage.rename(TWO, "a.txt", "x"),
        backend.storage.move(TWO, "a.txt", "/"),
        backend.storage.delete(TWO, "a.txt"),
    ):
        with pytest.raises(AlloydError, match="not found"):
            await act
    await backend.storage.delete(TWO, "docs")
    assert sorted(await backend.tree()) == sorted(STOCK)
    assert await backend.storage.usage(ONE) == Usage(len(b"a.txtdocs/b.txtdocs/deep/c.txt"), 3)


async def test_reading_a_folder(backend: Backend) -> None:
    await stocked(backend)
    for path in ("/", "docs"):
        for act in (backend.storage.get_file(ONE, path), backend.storage.open_file(ONE, path)):
            with pytest.raises(AlloydError) as caught:
                await act
            assert caught.value.code is Code.BAD_REQUEST
    for path in ("missing", "a.txt", "a.txt/b", "docs/missing"):
        with pytest.raises(AlloydError) as caught:
            await backend.storage.list_folder(ONE, path)
        assert caught.value.code is Code.NOT_FOUND


async def test_listing_pages(backend: Backend) -> None:
    for path in ("b/x", "a/x", "é", "B", "a.txt", "z"):
        await backend.put(path)
    whole = await backend.storage.list_items(ONE, "/", 100, None)
    names = [item["name"] for item in whole["items"]]
    assert names == ["a", "b", "B", "a.txt", "z", "é"]
    assert "next_cursor" not in whole
    for limit in range(1, 8):
        found, cursor = [], None
        while True:
            page = await backend.storage.list_items(ONE, "", limit, cursor)
            assert len(page["items"]) <= limit
            found += page["items"]
            cursor = page.get("next_cursor")
            if cursor is None:
                break
        assert found == whole["items"]
    with pytest.raises(AlloydError, match="limit"):
        await backend.storage.list_folder(ONE, "/", limit=0)


async def test_listing_goes_on_after_a_name_that_has_gone(backend: Backend) -> None:
    for name in "abc":
        await backend.put(name)
    cursor = (await backend.storage.list_folder(ONE, "/", limit=2)).next_cursor
    await backend.storage.delete(ONE, "b")
    assert [item.name for item in (await backend.storage.list_folder(ONE, "/", cursor=cursor)).items] == ["c"]


async def test_reader_keeps_the_content_it_opened(backend: Backend) -> None:
    old, new = b"o" * 700_000, b"n" * 700_000
    await backend.put("f", old)
    file = await backend.storage.open_file(ONE, "f")
    await backend.put("f", new)
    await backend.sweeper.sweep()
    assert len(backend.files_on_disk()) == 1
    async with file:
        assert b"".join([piece async for piece in file.read_chunks()]) == old
    assert await backend.get("f") == new


async def test_parallel_overwrites_and_reads_never_mix(backend: Backend) -> None:
    size = 300_000  # more than one piece
    await backend.put("f", b"0" * size)

    async def write(mark: bytes) -> None:
        await backend.storage.upload(ONE, "/", "f", pieces(mark * (size // 2), mark * (size // 2)))

    async def read() -> None:
        async with await backend.storage.open_file(ONE, "f") as file:
            content = b"".join([piece async for piece in file.read_chunks()])
        assert len(content) == size
        assert len(set(content)) == 1
        assert hashlib.sha256(content).hexdigest() == file.info.sha256

    await asyncio.gather(*(write(b"%d" % (n % 10)) for n in range(20)), *(read() for _ in range(40)))
    await backend.sweeper.sweep()
    assert len(backend.files_on_disk()) == 1
    assert await backend.storage.usage(ONE) == Usage(size, 1)


async def test_many_uploads_at_once(backend: Backend) -> None:
    await asyncio.gather(*(backend.put(f"a/b/{n:03}", b"%d" % n) for n in range(100)))
    listing = await backend.storage.list_folder(ONE, "a/b")
    assert [item.name for item in listing.items] == [f"{n:03}" for n in range(100)]
    told = backend.told()
    assert sorted(told[:2]) == [("storage_folder.created", "a"), ("storage_folder.created", "a/b")]
    assert len(told) == 102
    assert await backend.get("a/b/042") == b"42"
    assert backend.blobs.in_flight == set()


async def test_limit_is_exact(backend: Backend) -> None:
    backend.set(upload_bytes_max=1000)
    await backend.storage.upload(ONE, "/", "f", pieces(b"x" * 999, b"x"))
    with pytest.raises(AlloydError) as caught:
        await backend.storage.upload(ONE, "/", "g", pieces(b"x" * 999, b"xx"))
    assert caught.value.code is Code.TOO_LARGE
    with pytest.raises(AlloydError) as caught:
        await backend.put("g", b"x" * 1001)
    assert caught.value.code is Code.TOO_LARGE
    await backend.put("h", b"x" * 1000)
    assert await backend.tree() == ["f", "h"]
    assert len(backend.files_on_disk()) == 2


async def test_broken_off_upload_leaves_nothing(backend: Backend) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"x" * 400_000
        assert len(backend.files_in_tmp()) == 1
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await backend.storage.upload(ONE, "/", "f", breaks())
    assert (backend.files_in_tmp(), backend.files_on_disk(), await backend.tree()) == ([], [], [])
    assert backend.told() == []


async def test_cancelled_while_receiving_leaves_nothing(backend: Backend) -> None:
    waiting = asyncio.Event()

    async def hangs() -> AsyncIterator[bytes]:
        yield b"x" * 400_000
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(backend.storage.upload(ONE, "/", "f", hangs()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (backend.files_in_tmp(), backend.files_on_disk(), await backend.tree()) == ([], [], [])
    assert backend.blobs.in_flight == set()


async def test_cancelled_while_placing_is_stored_all_the_same(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()
    plain_write = backend.database.write

    async def write(fn: Callable[..., object]) -> object:
        reached.set()
        await asyncio.sleep(0)
        return await plain_write(fn)

    monkeypatch.setattr(backend.database, "write", write)
    task = asyncio.create_task(backend.put("f", b"abc"))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await backend.storage.close()
    assert await backend.get("f") == b"abc"
    assert backend.blobs.in_flight == set()


async def test_uploads_at_once_are_bounded(backend: Backend) -> None:
    backend.set(upload_wait_s=0)
    async with asyncio.timeout(30):
        held = [backend.storage.receive() for _ in range(backend.storage.settings.uploads_max)]
        for place in held:
            await place.__aenter__()
        with pytest.raises(AlloydError, match="too many uploads") as caught:
            await backend.put("f")
        assert caught.value.code is Code.UNAVAILABLE
        for place in held:
            await place.__aexit__(None, None, None)
    backend.set(upload_wait_s=10)
    await backend.put("f")


async def test_too_little_free_disk(backend: Backend) -> None:
    backend.blobs.disk_free_bytes_min = lambda: 1 << 60
    with pytest.raises(AlloydError, match="free disk space") as caught:
        await backend.put("f")
    assert caught.value.code is Code.UNAVAILABLE
    assert (backend.files_in_tmp(), backend.files_on_disk()) == ([], [])


async def test_move_may_not_make_paths_too_deep_or_long(backend: Backend) -> None:
    deep = "/".join("d" * 63)
    await backend.put(f"{deep}/f")
    await backend.storage.make_folder(ONE, "target")
    with pytest.raises(AlloydError, match="deeper than 64"):
        await backend.storage.move(ONE, "d", "target")
    long = "/".join(["n" * 255] * 15)
    await backend.put(f"{long}/f")
    assert str(await backend.storage.rename(ONE, "n" * 255, "m" * 255)) == "m" * 255
    inner = f"{'m' * 255}/" + "/".join(["n" * 255] * 14)
    await backend.put(f"{inner}/{'g' * 255}")
    with pytest.raises(AlloydError, match="4096"):
        await backend.storage.move(ONE, "m" * 255, "target")
    # Up is always possible, and down as far as it goes.
    await backend.storage.move(ONE, "d/d", "/target")
    assert await backend.get("/".join(["target", *("d" * 62), "f"])) == b"x"


async def test_idempotency_key(backend: Backend) -> None:
    await stocked(backend)
    storage = backend.storage
    once = Once("POST /folder", "key", "digest")
    for _ in range(2):
        assert str(await storage.make_folder(ONE, "n", once=once)) == "n"
    await storage.delete(ONE, "n")
    assert str(await storage.make_folder(ONE, "n", once=once)) == "n"
    assert "n/" not in await backend.tree()
    for _ in range(2):
        assert str(await storage.rename(ONE, "a.txt", "b.txt", Once("r", "key", "d"))) == "b.txt"
        assert str(await storage.move(ONE, "docs/b.txt", "empty", Once("m", "key", "d"))) == "empty/b.txt"
    with pytest.raises(AlloydError) as caught:
        await storage.make_folder(ONE, "m", once=Once("POST /folder", "key", "another"))
    assert caught.value.code is Code.CONFLICT


async def test_idempotency_key_of_an_upload(backend: Backend) -> None:
    for expected in ("stored", None):
        async with backend.storage.receive() as reception:
            await reception.write(b"abc")
            assert await reception.sha256() == hashlib.sha256(b"abc").hexdigest()
            await backend.put("f", b"meanwhile")
            info = await backend.storage.place(ONE, reception, parse_path("f"), None, Once("u", "key", "digest"))
            assert (info is None) == (expected is None)
    assert await backend.get("f") == b"meanwhile"
    await backend.sweeper.sweep()
    assert len(backend.files_on_disk()) == 1
    assert backend.blobs.in_flight == set()
