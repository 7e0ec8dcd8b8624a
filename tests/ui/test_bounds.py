"""Whatever an organization has, and however much happens, a page asks for little and stays small."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.async_api import Page, Response, Route, expect

from alloyd.db import Tx
from alloyd.domain.storage.model import ROOT_ID
from alloyd.events.model import Event
from tests.app import Served, open_app
from tests.ui.automation import Automation, transform
from tests.ui.browser import Window, open_page
from tests.ui.samples import own_principal as own

MANY = 100_000
ROWS_MAX = 1000
# Elements that a row may have; far above what they do.
ELEMENTS_PER_ROW_MAX = 40
# What comes in each frame, and for how many: 20 at 60 frames a second is 1,200 a second.
BURST, BURSTS = 20, 60
NODES_COUNT = "document.querySelectorAll('*').length"
WATCH = """() => {
    const list = document.querySelector(".event-list");
    const seen = window.seen_ = {batches: 0, frames: 0, added: 0, rows: 0};
    new MutationObserver((changes) => {
        seen.batches += 1;
        seen.added = Math.max(seen.added, changes.reduce((sum, {addedNodes}) => sum + addedNodes.length, 0));
        seen.rows = Math.max(seen.rows, list.children.length);
    }).observe(list, {childList: true});
    const tick = () => { seen.frames += 1; requestAnimationFrame(tick); };
    requestAnimationFrame(tick);
}"""
NEXT_FRAME = "() => new Promise(requestAnimationFrame)"


class Lists:
    """What a page asked of one list, and how much it was answered."""

    def __init__(self, page: Page, path: str) -> None:
        self.path, self.answers = path, list[Response]()
        page.on("response", self._take)

    def _take(self, response: Response) -> None:
        if self.path in response.url:
            self.answers.append(response)

    async def rows(self) -> list[int]:
        """How many rows each answer had."""
        found: list[int] = []
        for answer in self.answers:
            data: Any = (await answer.json())["data"]
            found.append(len(data["items"] if isinstance(data, dict) else data))
        return found


async def show_all_that_it_shows(page: Page, rows_each: int) -> None:
    """Press “Show more” until the list is as long as it gets."""
    rows = page.locator("#main tbody tr")
    for shown in range(rows_each, ROWS_MAX, rows_each):
        await expect(rows).to_have_count(shown)
        await page.get_by_role("button", name="Show more").click()
    await expect(page.get_by_text(f"The first {ROWS_MAX} are shown; narrow the list to see others.")).to_be_visible()
    await expect(page.get_by_role("button", name="Show more")).to_have_count(0)


async def check_size(page: Page) -> None:
    rows = await page.locator("#main tbody tr").count()
    assert rows == ROWS_MAX
    assert await page.evaluate(NODES_COUNT) < ROWS_MAX * ELEMENTS_PER_ROW_MAX


async def make_runs(served: Served, workflow: str) -> None:
    """Runs that ended, older than those that the engine makes: it counts on from the last one that it found."""
    org_id, now = own(served).org_id, served.clock.now_ms()
    runs = ((n - MANY, f"{n:08x}-0000-7000-8000-000000000000", org_id, workflow, *[now] * 3) for n in range(MANY))
    await served.app.database.write(
        lambda tx: tx.executemany(
            "INSERT INTO runs (seq, id, org_id, workflow_id, version, state, trigger_kind, started_by, steps_total, "
            "created_at, started_at, ended_at, payload) "
            "VALUES (?, ?, ?, ?, 1, 'completed', 'api', 'me', 1, ?, ?, ?, '{}')",
            runs,
        )
    )


async def make_files(served: Served) -> None:
    org_id = own(served).org_id
    files = ((f"id{n}", org_id, ROOT_ID, f"report {n:06}.txt", n, n, n) for n in range(MANY))
    await served.app.database.write(
        lambda tx: tx.executemany(
            "INSERT INTO storage_nodes (id, org_id, parent_id, name, is_file, size, mime_type, created_at, "
            "modified_at) VALUES (?, ?, ?, ?, 1, ?, 'text/plain', ?, ?)",
            files,
        )
    )


async def test_a_hundred_thousand_runs_and_files(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        made = Automation(served)
        workflow = await made.publish("quick", transform("a", x=1))
        await make_runs(served, workflow)
        await make_files(served)
        async with open_page(served) as window:
            await look_at_runs(window, made, workflow)
            await look_at_files(window, served)


async def look_at_runs(window: Window, made: Automation, workflow: str) -> None:
    page = window.page
    asked = Lists(page, "/ui/v1/workflow-runs?")
    await window.open("/runs")
    await expect(page.locator("#main tbody tr")).to_have_count(50)
    assert await asked.rows() == [50]
    await show_all_that_it_shows(page, 50)
    assert await asked.rows() == [50] * (ROWS_MAX // 50)
    await check_size(page)
    newest = await made.start(workflow)
    await expect(page.get_by_role("link", name=f"Run {newest[-8:]}")).to_be_visible()
    await check_size(page)


async def look_at_files(window: Window, served: Served) -> None:
    page = window.page
    asked = Lists(page, "/ui/private/storage?")
    await window.open("/storage")
    await expect(page.locator("#main tbody tr")).to_have_count(200)
    assert await asked.rows() == [200]
    await show_all_that_it_shows(page, 200)
    assert await asked.rows() == [200] * (ROWS_MAX // 200)
    await check_size(page)
    await served.app.storage.make_folder(own(served), "made meanwhile")
    await expect(page.get_by_role("link", name="made meanwhile")).to_be_visible()
    await check_size(page)
    await page.get_by_label("Name begins with").fill("report 0999")
    await page.get_by_role("button", name="Apply").click()
    await expect(page.get_by_role("button", name="report 099900.txt", exact=True)).to_be_visible()
    await expect(page.locator("#main tbody tr")).to_have_count(100)
    assert (await asked.rows())[-1] == 100


async def emit(served: Served, kind: str, numbers: range, **fields: Any) -> None:
    """Real events, in one commit."""
    org_id = own(served).org_id

    def write(tx: Tx) -> None:
        for number in numbers:
            tx.emit(Event(org_id, kind, f"thing {number}", {"number": number}, **fields))

    await served.app.database.write(write)


async def test_a_flood_of_events_changes_the_list_once_a_frame(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served, open_page(served) as window:
        page = window.page
        await window.open("/events")
        await expect(page.get_by_text("live", exact=True)).to_be_visible()
        newest = page.locator(".event-list .subject").first
        await page.evaluate(WATCH)
        for burst in range(BURSTS):
            await emit(served, "order.created", range(burst * BURST, (burst + 1) * BURST))
            await page.evaluate(NEXT_FRAME)  # the page paints on, whatever comes
            if burst == BURSTS // 2:  # and it can be used
                await page.get_by_role("button", name="Pause").click()
                await page.get_by_role("button", name="Resume").click()
        await expect(newest).to_have_text(f"thing {BURST * BURSTS - 1}")
        seen = await page.evaluate("window.seen_")
        assert 1 < seen["batches"] <= seen["frames"] + 1
        assert seen["rows"] == 200
        assert seen["added"] <= 200
        assert await page.evaluate(NODES_COUNT) < 200 * ELEMENTS_PER_ROW_MAX


async def test_a_flood_of_unknown_runs_is_one_request_at_a_time(tmp_path: Path) -> None:
    """The list of runs looks for new ones once, however many there are, and once more when it has its answer."""
    async with open_app(tmp_path) as served:
        made = Automation(served)
        known = await made.start(await made.publish("quick", transform("a", x=1)))
        await made.ended(known)
        async with open_page(served) as window:
            page = window.page
            asked = Lists(page, "/ui/v1/workflow-runs?")
            await window.open("/runs")
            await expect(page.get_by_text("live", exact=True)).to_be_visible()
            held: list[Route] = []
            requests: list[str] = []

            async def hold(route: Route) -> None:
                requests.append(route.request.url)
                if len(requests) == 1:
                    held.append(route)
                else:
                    await route.continue_()

            pattern = re.compile(r"/ui/v1/workflow-runs\?")
            await page.route(pattern, hold)
            async with page.expect_request(pattern):
                await emit(served, "workflow.run.created", range(BURST))
            for burst in range(1, BURSTS):
                await emit(served, "workflow.run.created", range(burst * BURST, (burst + 1) * BURST))
            await emit(served, "workflow.run.failed", range(1), run_id=known)  # the last that the page hears of
            row = page.get_by_role("row").filter(has_text=known[-8:])
            await expect(row).to_contain_text("failed")
            assert len(requests) == 1
            async with page.expect_request_finished():
                await held[0].continue_()
            while len(asked.answers) < 3:  # the first one, the one that was held, and what it did not know yet
                await page.wait_for_event("response")
            assert len(requests) == 2
            await expect(page.locator("#main tbody tr")).to_have_count(1)
