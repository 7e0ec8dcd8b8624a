"""The storage page in a real browser: folders, uploads by button and by drop, names of every kind, 3,000 files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.async_api import Page, Route, expect

from alloyd.config import StorageConfig
from alloyd.domain.storage.model import ROOT_ID
from tests.app import Served, open_app
from tests.ui.browser import PHONE, open_page
from tests.ui.samples import own_principal as own

MARKUP = "<img src=x onerror=alert(1)>.txt"
ODD = 'a "b" %41 #1?&ü\'.txt'
DROP = """async ([selector, names]) => {
  const transfer = new DataTransfer();
  names.forEach((name) => transfer.items.add(new File([`content of ${name}`], name, { type: "text/plain" })));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.querySelector(selector).dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""  # noqa: E501  # a script reads worse in pieces


async def paths(served: Served, folder: str = "/") -> list[str]:
    return [item.path for item in (await served.app.storage.list_folder(own(served), folder)).items]


async def content(served: Served, path: str) -> bytes:
    async with await served.app.storage.open_file(own(served), path) as file:
        return await file.read(0, file.info.size)


def text_file(name: str, content: bytes = b"hello") -> Any:
    return {"name": name, "mimeType": "text/plain", "buffer": content}


async def act(page: Page, name: str, what: str) -> None:
    await page.get_by_role("button", name=f"What to do with {name}", exact=True).click()
    await page.get_by_role("menuitem", name=what).click()


async def test_files_come_move_and_go(tmp_path: Path) -> None:
    storage = StorageConfig(max_upload_bytes=150_000)
    async with open_app(tmp_path, storage=storage) as served, open_page(served) as window:
        page = window.page
        await window.open("/storage")
        await expect(page.get_by_text("Nothing in here yet")).to_be_visible()
        await expect(page.get_by_text("A file may have 146 KiB")).to_be_visible()
        chooser = page.locator("input[type=file]")
        await chooser.set_input_files([text_file(MARKUP), text_file(ODD)])
        tray = page.get_by_role("region", name="Uploads", exact=True)
        await expect(tray.get_by_role("heading", name="2 files uploaded")).to_be_visible()
        await expect(page.get_by_role("button", name=MARKUP, exact=True)).to_be_visible()
        assert await paths(served) == sorted([MARKUP, ODD])
        assert await page.locator("img[src=x]").count() == 0
        await window.check_accessible()
        await _look_and_download(page)
        await _make_and_move(page, served)
        await _drop_and_ask(page, served)
        await _fail_and_cancel(page, served)
        await window.check_accessible()


async def _look_and_download(page: Page) -> None:
    await page.get_by_role("button", name=ODD, exact=True).click()
    opened = page.get_by_role("dialog", name=ODD)
    await expect(opened.get_by_text("5 B (5 bytes)")).to_be_visible()
    async with page.expect_download() as waiting:
        await opened.get_by_role("link", name="Download").click()
    assert Path(await (await waiting.value).path()).read_bytes() == b"hello"
    await page.keyboard.press("Escape")


async def _make_and_move(page: Page, served: Served) -> None:
    await page.get_by_role("button", name="New folder").click()
    await page.get_by_label("Name", exact=True).fill("50% #1? <b>")
    await page.get_by_role("button", name="Make the folder").click()
    await expect(page.get_by_role("heading", name="50% #1? <b>", level=1)).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="50% #1? <b>", level=1)).to_be_visible()
    await page.get_by_role("link", name="Storage").last.click()
    await act(page, ODD, "Rename…")
    await page.get_by_label("New name").fill(MARKUP)
    await page.get_by_role("button", name="Rename", exact=True).click()
    await expect(page.locator("dialog .fault:visible")).to_have_text("There is something of this name already")
    await page.get_by_label("New name").fill("plain.txt")
    await page.get_by_role("button", name="Rename", exact=True).click()
    await act(page, "plain.txt", "Move…")
    chosen = page.get_by_role("dialog")
    await expect(chosen.get_by_role("button", name="Move here")).to_be_disabled()
    await chosen.get_by_role("button", name="50% #1? <b>").click()
    await chosen.get_by_role("button", name="Move here").click()
    await expect(page.get_by_role("button", name="plain.txt", exact=True)).to_have_count(0)
    assert await paths(served, "50% #1? <b>") == ["50% #1? <b>/plain.txt"]
    await act(page, MARKUP, "Delete…")
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("button", name=MARKUP, exact=True)).to_have_count(0)
    assert await paths(served) == ["50% #1? <b>"]


async def _drop_and_ask(page: Page, served: Served) -> None:
    """Into a folder; a name that is taken asks, and both can be kept."""
    await page.get_by_role("link", name="50% #1? <b>").click()
    await expect(page.get_by_role("button", name="plain.txt", exact=True)).to_be_visible()
    await page.evaluate(DROP, [".drop-place", ["plain.txt", "new.txt"]])
    asked = page.get_by_role("dialog", name="There is a file called “plain.txt”")
    await asked.get_by_label("What to do").select_option("rename")
    await asked.get_by_role("button", name="Go on").click()
    await expect(page.get_by_role("button", name="plain (2).txt", exact=True)).to_be_visible()
    folder = "50% #1? <b>"
    assert await paths(served, folder) == [f"{folder}/{name}" for name in ("new.txt", "plain (2).txt", "plain.txt")]
    assert await content(served, f"{folder}/plain.txt") == b"hello"
    assert await content(served, f"{folder}/plain (2).txt") == b"content of plain.txt"


async def _fail_and_cancel(page: Page, served: Served) -> None:
    """What the server refuses can be tried again; what is on its way can be stopped, and shows how far it is."""
    held: list[Route] = []
    await page.locator("input[type=file]").set_input_files([text_file("large.bin", b"x" * 150_001)])
    failed = page.get_by_role("listitem").filter(has_text="large.bin")
    await expect(failed).to_contain_text("Larger than 146 KiB")
    await page.route(
        "**/storage/upload",
        lambda route: route.fulfill(status=503, json={"error": "unavailable", "message": "no"}),
        times=1,
    )
    await page.locator("input[type=file]").set_input_files([text_file("again.txt")])
    await page.get_by_role("button", name="Try again.txt again").click()
    await expect(page.get_by_role("button", name="again.txt", exact=True)).to_be_visible()
    await page.route("**/storage/upload", lambda route: held.append(route), times=1)  # noqa: PLW0108  # must be a function
    await page.locator("input[type=file]").set_input_files([text_file("stopped.bin", b"x" * 100_000)])
    await expect(page.get_by_role("progressbar", name="Upload of stopped.bin")).to_be_visible()
    await page.get_by_role("button", name="Cancel stopped.bin").click()
    await expect(page.get_by_role("listitem").filter(has_text="stopped.bin")).to_contain_text("cancelled")
    assert not any("stopped" in path for path in await paths(served, "50% #1? <b>"))


async def test_a_folder_of_thousands_on_a_phone(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        org_id = own(served).org_id
        await served.app.database.write(
            lambda tx: tx.executemany(
                "INSERT INTO storage_nodes (id, org_id, parent_id, name, is_file, size, mime_type, created_at, "
                "modified_at) "
                "VALUES (?, ?, ?, ?, 1, ?, 'text/plain', ?, ?)",
                ((f"id{n}", org_id, ROOT_ID, f"report {n:04}.txt", n, n, n) for n in range(3000)),
            )
        )
        async with open_page(served, size=PHONE, color_scheme="dark") as window:
            page, listed = window.page, []
            page.on(
                "request", lambda request: listed.append(request.url) if "/private/storage" in request.url else None
            )
            await window.open("/storage")
            rows = page.locator("tbody tr")
            await expect(rows).to_have_count(200)
            assert len(listed) == 1
            await page.get_by_role("button", name="Show more").click()
            await expect(rows).to_have_count(400)
            await expect(page.get_by_role("button", name="report 0399.txt", exact=True)).to_be_visible()
            await window.check_width()
            await page.get_by_label("Name begins with").fill("report 29")
            await page.get_by_role("button", name="Apply").click()
            await expect(rows).to_have_count(100)
            await page.get_by_label("Sorted by").select_option("largest")
            await expect(rows.first).to_contain_text("report 2999.txt")
            assert len(listed) == 4
            await window.check_accessible()
            await window.check_width()
