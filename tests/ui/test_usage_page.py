"""The pages of usage, jobs, objects and assets in a real browser."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Page, expect

from alloyd.domain.objects.model import NewObject
from tests.app import Served, open_app
from tests.ui.browser import PHONE, Window, open_page
from tests.ui.samples import OWN, own_principal
from tests.wire.objects.things import whole

MARKUP = "<img src=x onerror=alert(1)>.txt"


async def _use(served: Served) -> str:
    """Two calls on a day, one on the next, a job and a file of a run; the job's id."""
    first = served.app.first_key
    assert first is not None
    assert first.issued.raw is not None
    served.keys[OWN] = first.issued.raw
    for day in (2, 1):
        for _ in range(day):
            await served.data("POST", "/providers/execute", {"modality": "text", "input": "one two"}, key=OWN)
        served.clock.advance(86_400_000)
    job = await served.data("POST", "/jobs", {"modality": "text", "input": "<b>job</b>"}, key=OWN, status=202)
    await served.app.objects.put(own_principal(served), NewObject("output", MARKUP), whole(b"12345"))
    return str(job["id"])


async def test_usage_jobs_and_files_of_runs(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        job_id = await _use(served)
        async with open_page(served) as window:
            await _job(window, job_id)
            await _usage(window)
            await _budget(window.page)
            await _objects(window)
            await _assets(window)
            await window.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
            for path in ("/usage", "/jobs", f"/jobs/{job_id}", "/objects", "/assets"):
                await window.open(path)
                await window.check_width()


async def _job(window: Window, job_id: str) -> None:
    page = window.page
    await window.open("/jobs")
    await expect(page.get_by_role("row").filter(has_text=job_id)).to_contain_text("completed")
    await page.get_by_role("link", name="text", exact=True).click()
    await expect(page.get_by_role("region", name="Input")).to_have_text("<b>job</b>")
    await expect(page.get_by_role("region", name="Output")).to_contain_text("<b>job</b>")
    await window.check_accessible()


async def _usage(window: Window) -> None:
    page = window.page
    await window.open("/usage")
    await expect(page.locator(".figure").filter(has_text="Calls")).to_contain_text("4")
    drawing = page.get_by_role(
        "img", name="Calls by day, 2026-01-01 to 2026-01-03: 4 in all, most on 2026-01-01 with 2"
    )
    await expect(drawing).to_be_visible()
    await page.get_by_text("As a table").click()
    by_day = page.get_by_role("table", name="Calls by day").get_by_role("row")
    assert [await row.text_content() for row in await by_day.all()] == [
        "DayAnsweredFailed",
        "2026-01-0120",
        "2026-01-0210",
        "2026-01-0310",
    ]
    await page.get_by_label("Shown").select_option("tokens")
    await expect(page.get_by_role("img", name="Tokens by day")).to_be_visible()
    await expect(page.get_by_role("table", name="Usage by provider").get_by_role("row").nth(1)).to_contain_text("echo")
    await page.get_by_role("tab", name="API key").click()
    await expect(page.get_by_role("table", name="Usage by api key")).to_contain_text("owner")
    await expect(page.get_by_role("table", name="Single calls").get_by_role("row")).to_have_count(5)
    await window.check_accessible()
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name="Records as CSV").click()
    assert len(Path(await (await waiting.value).path()).read_text().splitlines()) == 5
    await page.get_by_label("Period").select_option("own")
    await page.get_by_label("From", exact=True).fill("2026-01-02")
    await page.get_by_label("To, included").fill("2026-01-02")
    await page.get_by_role("button", name="Apply").click()
    await expect(page.locator(".figure").filter(has_text="Calls")).to_contain_text("1")


async def _budget(page: Page) -> None:
    await page.get_by_role("button", name="Set a budget").click()
    await page.get_by_label("US dollars").fill("-1")
    await page.get_by_role("button", name="Set the budget").click()
    await expect(page.locator("dialog .fault:visible")).to_be_visible()
    await page.get_by_label("US dollars").fill("12.5")
    await page.get_by_label("In each").select_option("day")
    await page.get_by_role("button", name="Set the budget").click()
    await expect(page.get_by_text("$12.50 a day")).to_be_visible()
    await page.get_by_role("button", name="Use the default").click()
    await page.get_by_role("dialog").get_by_role("button", name="Use the default").click()
    await expect(page.get_by_text("no limit")).to_be_visible()


async def _objects(window: Window) -> None:
    page = window.page
    await window.open("/objects")
    await expect(page.get_by_role("row").filter(has_text=MARKUP)).to_contain_text("output")
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name=MARKUP, exact=True).click()
    assert Path(await (await waiting.value).path()).read_bytes() == b"12345"
    await window.check_accessible()


async def _assets(window: Window) -> None:
    page = window.page
    await window.open("/assets")
    file = {"name": MARKUP, "mimeType": "text/plain", "buffer": b"asset"}
    await page.locator("input[type=file]").set_input_files([file])  # type: ignore[list-item]  # as playwright reads it
    row = page.get_by_role("row").filter(has_text=MARKUP)
    await expect(row).to_contain_text("text/plain")
    async with page.expect_download() as waiting:
        await row.get_by_role("link", name=f"Download {MARKUP}").click()
    assert Path(await (await waiting.value).path()).read_bytes() == b"asset"
    await window.check_accessible()
    await page.get_by_role("button", name=f"Delete {MARKUP}").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("No assets yet")).to_be_visible()
