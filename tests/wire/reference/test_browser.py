"""The API reference in a real browser: it opens without a fault, asks nobody else, and "try it" works."""

from __future__ import annotations

import os
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import async_playwright

from tests.app import Served, open_app

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_MS = 60_000  # a guard against hanging, not a measure
# Swagger UI's remark on every link to an operation whose id has a "_", as all of ours have. Nothing is wrong with it.
UNDERSCORE_REMARK = "escaping deep link whitespace with `_`"

pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists() or platform.machine() not in ("x86_64", "aarch64"), reason="Debian's chromium is not there"
)


@dataclass
class Reference:
    """The open page, and what went wrong in it."""

    page: Any
    served: Served
    faults: list[str] = field(default_factory=list)

    async def open(self, where: str = "/docs") -> None:
        await self.page.goto(self.served.url + where)
        await self.page.locator(".opblock-tag").first.wait_for()

    async def unfold(self, heading: str, operation: str) -> Any:
        """The operation's block, opened by hand."""
        block = self.page.locator(f"#operations-{heading}-{operation}")
        if await block.count() == 0:
            await self.page.locator(f"#operations-tag-{heading}").click()
        await block.locator(".opblock-summary-control").click()
        return block

    async def try_out(self, block: Any) -> str:
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
async def browse(served: Served, **context: Any) -> AsyncIterator[Reference]:

    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        opened = await browser.new_context(**context)
        page = await opened.new_page()
        page.set_default_timeout(PATIENCE_MS)
        reference = Reference(page, served)

        def note_console(message: Any) -> None:
            if message.type in ("error", "warning") and UNDERSCORE_REMARK not in message.text:
                reference.faults.append(f"{message.type}: {message.text}")

        def note_request(request: Any) -> None:
            if not request.url.startswith((f"{served.url}/", "data:", "blob:")):
                reference.faults.append(f"asked for {request.url}")

        page.on("console", note_console)
        page.on("pageerror", lambda error: reference.faults.append(f"uncaught: {error}"))
        page.on("request", note_request)
        yield reference
        assert reference.faults == []
        await browser.close()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


async def test_it_is_read_and_tried(served: Served) -> None:
    key = await served.key("acme")
    async with browse(served, viewport={"width": 1280, "height": 900}) as reference:
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
        reference.faults.remove(next(fault for fault in reference.faults if "401" in fault))  # as asked for


async def test_the_filter_and_deep_links_lead_to_an_operation(served: Served) -> None:
    async with browse(served) as reference:
        await reference.open("/docs/#/Me/control_get_me")
        await reference.page.locator("#operations-Me-control_get_me.is-open").wait_for()
        await reference.page.locator(".operation-filter-input").fill("Schedules")
        await reference.page.locator("#operations-tag-Me").wait_for(state="detached")
        assert await reference.page.locator(".opblock-tag").count() == 1


async def test_an_address_chooses_no_other_description(served: Served) -> None:
    async with browse(served) as reference:
        await reference.open("/docs?url=http://127.0.0.1:9/evil.json&configUrl=http://127.0.0.1:9/evil")
        assert await reference.page.locator(".info .link").first.inner_text() == "/openapi.json"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_a_phone_in_both_colours(served: Served, scheme: str) -> None:
    async with browse(served, viewport={"width": 375, "height": 800}, color_scheme=scheme) as reference:
        await reference.open()
        await reference.unfold("Workflow_runs", "control_post_workflow_runs")
        await reference.page.locator("#operations-Workflow_runs-control_post_workflow_runs .responses-table").wait_for()
        assert await reference.page.evaluate("document.documentElement.scrollWidth") <= 375
        is_dark = await reference.page.evaluate("document.documentElement.classList.contains('dark-mode')")
        assert is_dark is (scheme == "dark")
        await reference.page.locator(".auth-wrapper .btn.authorize").click()
        first = reference.page.locator(".modal-ux-content input").first
        await reference.page.wait_for_function(
            "document.activeElement === document.querySelector('.modal-ux-content input')"
        )
        assert await first.is_visible()
