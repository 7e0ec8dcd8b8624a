"""A real browser at the real page: any fault that the browser sees fails the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_core_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright, expect

from alloyd.domain.users.service import CreateUser
from alloyd.principal import Role
from tests.app import Served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DESKTOP, TABLET, PHONE = (1280, 800), (900, 800), (375, 800)
EMAIL, PASSWORD = "ada@example.com", "correct horse battery staple"
TIMEOUT_MS = 20_000
# What Chromium itself says of an answer that the page expects and handles.
EXPECTED_CONSOLE = "Failed to load resource: the server responded with a status of"
expect.set_options(timeout=TIMEOUT_MS)


@dataclass
class Window:
    """One page of the browser at a server, and all that went wrong in it."""

    page: Page
    context: BrowserContext
    url: str
    faults: list[str] = field(default_factory=list)

    async def open(self, path: str = "/") -> None:
        """Show the page behind ``#`` and wait until it is there."""
        await self.page.goto(f"{self.url}/#{path}")
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing on the page is being loaded."""
        await self.page.wait_for_selector("h1", timeout=TIMEOUT_MS)
        await self.page.wait_for_function("() => !document.querySelector('.waiting')", timeout=TIMEOUT_MS)

    async def sign_in(self, email: str = EMAIL, password: str = PASSWORD) -> None:
        """Sign in by the form."""
        await self.open("/sign-in")
        await self.page.get_by_label("E-mail").fill(email)
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.wait_for_selector(".shell", timeout=TIMEOUT_MS)
        await self.settled()

    async def check_accessible(self) -> None:
        """Have axe look through what is shown. Raises AssertionError with each violation."""
        found = await Axe().run(self.page, options={"resultTypes": ["violations"]})
        said = [
            f"{each['id']} ({each['impact']}): {node['html'][:160]}: {node.get('failureSummary', '')[:300]}"
            for each in found["violations"]
            for node in each["nodes"]
        ]
        assert not said, "\n".join([self.page.url, *said])

    async def check_width(self) -> None:
        """Nothing stands out at the side, so that nobody has to scroll there."""
        width = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await self.page.evaluate(width) == 0, self.page.url


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Debian's Chromium without a screen; skips the test where there is none."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium here")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=[*sandbox, "--disable-dev-shm-usage", "--lang=en-US"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_window(browser: Browser, url: str, **options: Any) -> AsyncIterator[Window]:
    """A window at the server ``url``, without any session; at its end every fault fails the test."""
    width, height = options.pop("size", DESKTOP)
    context = await browser.new_context(viewport={"width": width, "height": height}, locale="en-US", **options)
    page = await context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    window = Window(page, context, url)
    _watch(window)
    yield window
    await context.close()
    assert not window.faults, "\n".join(window.faults)


def _watch(window: Window) -> None:
    faults = window.faults

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(EXPECTED_CONSOLE):
            faults.append(f"console: {message.text}")

    def on_request(request: Request) -> None:
        if not request.url.startswith((window.url, "data:", "blob:")):
            faults.append(f"another host: {request.url}")

    window.page.on("console", on_console)
    window.page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    window.page.on("request", on_request)


@asynccontextmanager
async def open_page(served: Served, **options: Any) -> AsyncIterator[Window]:
    """A browser with one window at ``served``, signed in as an owner of the organization `default` and platform admin.

    ``size`` is one of DESKTOP, PHONE; other options are playwright's, such as ``color_scheme="dark"``.
    """
    await make_user(served)
    async with open_browser() as browser, open_window(browser, served.url, **options) as window:
        await window.sign_in()
        yield window


async def make_user(served: Served, email: str = EMAIL, org: str = "default", role: Role = Role.OWNER) -> str:
    """A user who can sign in; the id."""
    new = CreateUser(email, PASSWORD, org, role, platform_admin=role is Role.OWNER, display_name="Ada Lovelace")
    return (await served.app.users.create(new)).id
