"""The whole story in a real browser against the real daemon: from the printed set-up link to signing out."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import FilePayload, Page, expect

from tests.ui.browser import EMAIL, PASSWORD, Window, open_browser, open_window

# Far above what it takes: a guard against hanging, not a measure.
PATIENCE_S = 60
ROOT = Path(__file__).resolve().parents[2]
# A name and contents that must stay text wherever they are shown.
MARKUP = "<img src=x onerror=alert(1)>"
DEFINITION = """name: receive
nodes:
  - key: file
    operation: storage.read
    config: {path: "{{ trigger.path }}", as: text}
  - key: large
    operation: workflow.branch
    depends_on: [file]
    config: {condition: "steps.file.output.meta.size > 5"}
  - key: tell
    operation: transform
    depends_on: [large.then]
    config: {values: {said: "{{ steps.file.output.content }}"}}
  - key: ignore
    operation: transform
    depends_on: [large.else]
    config: {values: {}}
"""
REFUSALS = """addEventListener("securitypolicyviolation", (event) => console.error(`refused: ${event.blockedURI}`));"""


class Daemon:
    """`python -m alloyd serve` on a new data directory."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Path) -> None:
        self.process, self.errors = process, errors
        self.said: dict[str, str] = {}

    async def read_until_up(self) -> None:
        """Read what it prints until it listens and has told the set-up link."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while len(self.said) < 2:
                line = (await self.process.stdout.readline()).decode()
                assert line, self.errors.read_text()
                for what, pattern in (("url", r"listening url=(http://\S+)"), ("link", r"set-up link: (\S+)")):
                    if found := re.search(pattern, line):
                        self.said[what] = found[1]

    async def ask(self, key: str, path: str) -> tuple[int, Any]:
        """Status and body of a GET with a key, as other systems ask."""
        header = {"api-key": key} if path.startswith("/api/private") else {"Authorization": f"Bearer {key}"}
        async with aiohttp.ClientSession() as session, session.get(self.said["url"] + path, headers=header) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else await answer.text()


@asynccontextmanager
async def serve(directory: Path) -> AsyncIterator[Daemon]:
    errors = directory / "stderr"
    with errors.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "alloyd", "serve", "--port", "0", "--data-dir", str(directory / "data")),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env={"PATH": os.environ["PATH"]},
            cwd=ROOT,
        )
    daemon = Daemon(process, errors)
    try:
        await daemon.read_until_up()
        yield daemon
        process.terminate()
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
        assert "Traceback" not in errors.read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def go(window: Window, name: str) -> None:
    """To a page by its entry in the navigation."""
    await window.page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True).click()
    await expect(window.page.get_by_role("heading", level=1, name=name, exact=True)).to_be_visible()
    await window.settled()


async def test_from_the_first_start_to_signing_out(tmp_path: Path) -> None:
    async with (
        serve(tmp_path) as daemon,
        open_browser() as browser,
        open_window(browser, daemon.said["url"]) as window,
    ):
        await window.page.add_init_script(REFUSALS)
        await set_up(window, daemon.said["link"])
        key = await make_key(window, daemon)
        await upload(window, daemon, key)
        await publish_and_run(window)
        await talk_to_a_teammate(window)
        await look_back(window)
        await sign_out(window, daemon, key)


async def set_up(window: Window, link: str) -> None:
    """The printed link makes the first user, and leads into the page; it works once."""
    page = window.page
    answer = await page.goto(link)
    assert answer is not None
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    await page.get_by_label("Your name").fill("Ada Lovelace")
    await page.get_by_label("E-mail").fill(EMAIL)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_label("Password, once more").fill(PASSWORD)
    await page.get_by_role("button", name="Create your user").click()
    await expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    (cookie,) = await window.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert "alloyd_session" not in await page.evaluate("document.cookie")


async def make_key(window: Window, daemon: Daemon) -> str:
    page = window.page
    await go(window, "API keys")
    await page.get_by_role("button", name="New key").first.click()
    await page.get_by_label("Name").fill("shop")
    await page.get_by_label("Role").select_option("owner")
    await page.get_by_role("button", name="Make the key").click()
    raw = await page.locator(".secret code").inner_text()
    await page.get_by_role("button", name="Done").click()
    await expect(page.get_by_role("row").filter(has_text="shop")).to_be_visible()
    assert raw not in await page.content()
    status, me = await daemon.ask(raw, "/v1/me")
    assert (status, me["data"]["display_name"]) == (200, "shop")
    return raw


async def upload(window: Window, daemon: Daemon, key: str) -> None:
    page = window.page
    await go(window, "Storage")
    name = f"order {MARKUP}.txt"
    file: FilePayload = {"name": name, "mimeType": "text/plain", "buffer": MARKUP.encode()}
    await page.locator("input[type=file]").set_input_files([file])
    await expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
    await page.get_by_role("button", name=f"What to do with {name}").click()
    await page.get_by_role("menuitem", name="Rename…").click()
    await page.get_by_label("New name").fill("order.txt")
    await page.get_by_role("button", name="Rename", exact=True).click()
    await expect(page.get_by_role("button", name="order.txt", exact=True)).to_be_visible()
    assert await daemon.ask(key, "/api/private/storage/download?path=order.txt") == (200, MARKUP)


async def publish_and_run(window: Window) -> None:
    """A definition with a fault is refused in its place; the mended one runs, and is watched to its end."""
    page = window.page
    await go(window, "Workflows")
    await page.get_by_role("link", name="New workflow").first.click()
    editor = page.get_by_label("Definition", exact=True)
    await editor.fill(DEFINITION.replace("storage.read", "storage.raed"))
    await expect(page.get_by_text("there is no operation 'storage.raed'")).to_be_visible()
    await editor.fill(DEFINITION)
    await expect(page.get_by_text("ready to publish")).to_be_visible()
    await page.get_by_role("button", name="Publish").click()
    await expect(page.get_by_role("heading", level=1, name="receive")).to_be_visible()
    await page.get_by_role("button", name="Run now").click()
    await page.get_by_label("Payload").fill('{"path": "order.txt"}')
    await page.get_by_role("dialog").get_by_role("button", name="Run", exact=True).click()
    await expect(page.locator("h1 .badge")).to_have_text("completed")
    for step, state in (("tell", "completed"), ("ignore", "skipped")):
        await expect(page.locator(f'.graph-node[data-id="{step}"]')).to_have_attribute("data-state", state)
    await page.get_by_role("button", name="tell", exact=True).click()
    await expect(page.get_by_role("dialog").get_by_role("region", name="Output")).to_contain_text(MARKUP)
    await page.keyboard.press("Escape")
    await window.check_accessible()


async def talk_to_a_teammate(window: Window) -> None:
    """A teammate on the channel that calls the workflow; the tester asks it, and the log has the request."""
    page = window.page
    await go(window, "Teammates")
    await page.get_by_role("link", name="New teammate").first.click()
    await page.get_by_label("Name", exact=True).fill("Grace")
    await page.get_by_label("Model").select_option(label="echo: echo")
    await page.get_by_label("Workflow", exact=True).fill("receive")
    await page.get_by_role("button", name="Add workflow").click()
    await page.get_by_label("Channel", exact=True).select_option("api")
    await page.get_by_role("button", name="Make the teammate").click()
    await expect(page.get_by_role("heading", level=1, name="Grace", exact=True)).to_be_visible()
    await page.get_by_role("tab", name="API").click()
    await page.get_by_role("button", name="Create a key for this teammate").click()
    await page.get_by_role("button", name="Make the key").click()
    await expect(page.get_by_role("region", name="curl example")).to_contain_text("alloy_")
    await page.locator(".tester").get_by_label("message").fill('call receive {"path": "order.txt"}')
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator(".tester .result")).to_contain_text("200 OK")
    await expect(page.locator(".tester .result")).to_contain_text(MARKUP)
    rows = page.get_by_role("table", name="Requests").locator("tbody tr")
    await expect(rows).to_have_count(1)
    await expect(rows.first).to_contain_text("completed")
    await expect(rows.first).to_contain_text("Key Grace API")


async def look_back(window: Window) -> None:
    """What was done is counted, listed, and in the trail."""
    page = window.page
    await go(window, "Runs")
    await expect(page.get_by_role("row").filter(has_text="receive").filter(has_text="completed").first).to_be_visible()
    await go(window, "Overview")
    await expect(page.locator(".figure").filter(has_text="Failed")).to_contain_text("0")
    await go(window, "Audit trail")
    for action in ("api_key.create", "storage.write", "workflow.write", "teammate.write", "auth.sign_in"):
        await expect(page.get_by_role("cell", name=action).first).to_be_visible()
    assert await page.locator("#main img").count() == 0


async def sign_out(window: Window, daemon: Daemon, key: str) -> None:
    """The session is over, the key goes on, and the link is spent."""
    page: Page = window.page
    await page.get_by_role("button", name="You: Ada Lovelace").click()
    await page.get_by_role("menuitem", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert await window.context.cookies() == []
    await page.goto(daemon.said["link"])
    await expect(page.get_by_role("button", name="Go to sign in")).to_be_visible()
    assert (await daemon.ask(key, "/v1/me"))[0] == 200
