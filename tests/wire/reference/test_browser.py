"""The API reference in a real browser: it opens without a fault, asks nobody else, and "try it" works."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page

from tests.app import Served, open_app
from tests.ui.browser import PHONE, Window, open_browser, open_window

# Swagger UI's remark on every link to an operation whose id has a "_", as all of ours have. Nothing is wrong with it.
UNDERSCORE_REMARK = "console: Deprecated: escaping deep link whitespace with `_`"


@dataclass
class Reference:
    """The open page."""

    window: Window

    @property
    def page(self) -> Page:
        return self.window.page

    async def open(self, where: str = "/docs") -> None:
        await self.page.goto(self.window.url + where)
        await self.page.locator(".opblock-tag").first.wait_for()

    async def unfold(self, heading: str, operation: str) -> Locator:
        """The operation's block, opened by hand."""
        block = self.page.locator(f"#operations-{heading}-{operation}")
        if await block.count() == 0:
            await self.page.locator(f"#operations-tag-{heading}").click()
        await block.locator(".opblock-summary-control").click()
        return block

    async def try_out(self, block: Locator) -> str:
        """Press what a person presses; the status that is shown."""
        await block.get_by_role("button", name="Try it out").click()
        await block.get_by_role("button", name="Execute").click()
        shown = block.locator(".live-responses-table tbody .response-col_status").first
        await shown.wait_for()
        return str(await shown.inner_text()).split()[0]

    async def authorize(self, scheme: str, key: str) -> None:
        """Paste a key into one field of the dialog."""
        await self.page.locator(".auth-wrapper .btn.authorize").click()
        entry = self.page.locator(".auth-container").filter(has=self.page.locator("h4 code", has_text=scheme)).first
        await entry.locator("input").fill(key)
        await entry.get_by_role("button", name="Apply credentials").click()
        await entry.get_by_role("button", name="Remove authorization").wait_for()
        await self.page.locator(".close-modal").click()


@asynccontextmanager
async def browse(served: Served, **options: Any) -> AsyncIterator[Reference]:
    async with open_browser() as browser, open_window(browser, served.url, **options) as window:
        yield Reference(window)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


async def test_it_is_read_and_tried(served: Served) -> None:
    key = await served.key("acme")
    async with browse(served) as reference:
        await reference.open()
        headings = await reference.page.locator(".opblock-tag").all_inner_texts()
        assert any(text.startswith("Workflow runs") for text in headings)
        assert (
            await reference.page.locator(".errors-wrapper, .version-pragma, .opblock-description .error").count() == 0
        )
        assert await reference.try_out(await reference.unfold("System", "system_get_healthz")) == "200"
        me = await reference.unfold("Me", "control_get_me")
        assert await reference.try_out(me) == "401"
        await reference.authorize("control", key)
        await me.get_by_role("button", name="Execute").click()
        await me.locator(".live-responses-table").get_by_text('"api_key"').wait_for()
        assert await me.locator(".live-responses-table tbody .response-col_status").first.inner_text() == "200"
        listing = await reference.unfold("Storage_and_triggers", "private_get_storage")
        await reference.authorize("private", key)
        assert await reference.try_out(listing) == "200"
        kept = await reference.page.evaluate(
            "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
        )
        assert kept == '[{},{},""]'


async def test_every_credential_has_its_field(served: Served) -> None:
    async with served.session.get(f"{served.url}/openapi.json") as answer:
        schemes = (await answer.json())["components"]["securitySchemes"]
    async with browse(served) as reference:
        await reference.open()
        await reference.page.locator(".auth-wrapper .btn.authorize").click()
        entries = reference.page.locator(".auth-container")
        assert await entries.locator("h4 code").all_inner_texts() == list(schemes)
        assert await entries.locator("input").count() == len(schemes)
        for scheme in schemes.values():
            words = scheme["description"].replace("`", "")
            assert await entries.filter(has_text=words).count() == 1, words


async def test_links_and_the_filter_lead_to_an_operation(served: Served) -> None:
    async with browse(served) as reference:
        await reference.open("/docs/#/Me/control_get_me")
        await reference.page.locator("#operations-Me-control_get_me.is-open").wait_for()
        await reference.page.locator(".operation-filter-input").fill("Schedules")
        await reference.page.locator("#operations-tag-Me").wait_for(state="detached")
        assert await reference.page.locator(".opblock-tag").count() == 1
        faults = reference.window.faults
        faults[:] = [fault for fault in faults if not fault.startswith(UNDERSCORE_REMARK)]
        # An address chooses no other description.
        await reference.open("/docs?url=http://127.0.0.1:9/evil.json&configUrl=http://127.0.0.1:9/evil")
        assert await reference.page.locator(".info .link").first.inner_text() == "/openapi.json"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_a_phone_in_both_colours(served: Served, scheme: str) -> None:
    async with browse(served, size=PHONE, color_scheme=scheme) as reference:
        await reference.open()
        await reference.unfold("Workflow_runs", "control_post_workflow_runs")
        await reference.page.locator("#operations-Workflow_runs-control_post_workflow_runs .responses-table").wait_for()
        await reference.window.check_width()
        is_dark = await reference.page.evaluate("document.documentElement.classList.contains('dark-mode')")
        assert is_dark is (scheme == "dark")
        await reference.page.locator(".auth-wrapper .btn.authorize").click()
        first = reference.page.locator(".modal-ux-content input").first
        await reference.page.wait_for_function(
            "document.activeElement === document.querySelector('.modal-ux-content input')"
        )
        assert await first.is_visible()
