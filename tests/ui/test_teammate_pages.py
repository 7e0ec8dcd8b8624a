"""Teammates in a real browser: made, talked to, opened to other systems, tried, watched, and closed again."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from alloyd.config import ModelConfig, ProviderConfig
from tests.app import Served, open_app
from tests.ui.browser import PHONE, Window, open_page
from tests.vendor import Held, chat, chunks, open_vendor, says, streams

MARKUP = "<img src=x onerror=alert(1)><b>bold</b>"
GREET = {
    "name": "greet",
    "nodes": [{"key": "back", "operation": "transform", "config": {"values": {"got": "{{ trigger }}"}}}],
}
LONG_S = 60


async def prepare(served: Served) -> None:
    """A workflow for the teammate in the organization of who is signed in."""
    first = served.app.first_key
    assert first is not None
    assert first.issued.raw is not None
    served.keys["me"] = first.issued.raw
    saved = await served.data("POST", "/workflow-definitions", GREET, status=201, key="me")
    assert saved["id"]


async def make(served: Served, **more: Any) -> Any:
    """A teammate that echo speaks for, on the channel."""
    body = {"name": "Ada", "provider": "echo", "model": "echo", "channel": "api", **more}
    return await served.data("POST", "/teammates", body, status=201, key="me")


async def choose(page: Page, label: str, value: str) -> None:
    await page.get_by_label(label, exact=True).select_option(value)


async def save_channel(page: Page, channel: str) -> None:
    await page.get_by_role("tab", name="Settings").click()
    await choose(page, "Channel", channel)
    await page.get_by_role("button", name="Save").click()


async def say(page: Page, text: str) -> None:
    """Send a message, and wait until it is answered."""
    box = page.get_by_label("Message to Ada")
    await box.fill(text)
    await box.press("Enter")
    await expect(page.get_by_role("button", name="Send")).to_be_visible()


async def make_by_form(window: Window) -> None:
    page = window.page
    await window.open("/teammates")
    await page.get_by_role("link", name="New teammate").first.click()
    await page.get_by_label("Name", exact=True).fill("Ada")
    await page.get_by_label("Role").fill("greeter <i>of</i> guests")
    await page.get_by_label("Instructions").fill(MARKUP)
    await page.get_by_label("Model").select_option(label="echo: echo")
    await page.get_by_label("Workflow", exact=True).fill("no such")
    await page.get_by_role("button", name="Add workflow").click()
    await page.get_by_label("Folders it may read").fill("/notes\n/../x")
    await page.get_by_role("button", name="Make the teammate").click()
    await expect(page.locator(".field", has_text="Folders it may read").locator(".fault")).to_be_visible()
    await page.get_by_label("Folders it may read").fill("/notes")
    await page.get_by_role("button", name="Make the teammate").click()
    await expect(page.locator(".field .fault", has_text="no workflow 'no such'")).to_be_visible()
    await page.get_by_role("button", name="Take no such away").click()
    await page.get_by_label("Workflow", exact=True).fill("greet")
    await page.get_by_label("Workflow", exact=True).press("Enter")
    await window.check_accessible()
    await page.get_by_role("button", name="Make the teammate").click()
    await expect(page.get_by_role("heading", level=1, name="Ada", exact=True)).to_be_visible()


async def talk(window: Window) -> None:
    page = window.page
    replies = page.locator(".said.assistant .words")
    await say(page, f"hello {MARKUP}")
    await expect(replies).to_have_text([f"hello {MARKUP}"])
    await say(page, 'call greet {"n": 41}')
    await expect(replies).to_have_count(2)
    await expect(replies.last).to_contain_text('"n":41')
    call = page.locator("details.call")
    await expect(call).to_have_count(1)
    await expect(call.locator("summary")).to_contain_text("greet")
    await call.locator("summary").click()
    await expect(call.get_by_role("region", name="Arguments")).to_contain_text("41")
    await expect(call.get_by_role("link", name="this run")).to_have_attribute(
        "href", re.compile(r"^#/runs/[0-9a-f-]{36}$")
    )
    await expect(page.locator("#announcer")).to_contain_text("Ada: ")
    assert await page.locator(".thread img, .thread b").count() == 0
    await expect(page.locator(".talk")).to_have_count(1)
    await expect(page.locator(".talk .begins")).to_have_text(f"hello {MARKUP}")
    await window.check_accessible()
    await page.reload()
    await expect(replies).to_have_count(2)
    await page.locator("details.did summary").last.click()
    await expect(page.locator("details.did details.call")).to_have_count(1)


async def try_channel(window: Window) -> None:
    """The tester in its three forms, with a key that is made there; each request appears in the log by itself."""
    page = window.page
    await page.get_by_role("tab", name="API").click()
    rows = page.get_by_role("table", name="Requests").locator("tbody tr")
    await expect(rows).to_have_count(2)  # what was said in the chat
    await page.get_by_role("button", name="Create a key for this teammate").click()
    await page.get_by_role("button", name="Make the key").click()
    key = await page.locator(".secret code").nth(1).inner_text()
    assert key.startswith("alloy_")
    await expect(page.get_by_role("region", name="curl example")).to_contain_text(key)
    result = page.locator(".tester .result")
    await page.get_by_label("context").fill('{"ticket": 7}')
    for mode, shown in (("answer", '"reply": "Hello.'), ("stream", "event: done"), ("async", '"status": "completed"')):
        await choose(page, "Form of the reply", mode)
        await page.get_by_role("button", name="Send").click()
        await expect(result).to_contain_text(shown)
        await expect(result).to_contain_text("all after")
        await expect(result).to_contain_text("202 Accepted" if mode == "async" else "200 OK")
    await expect(rows).to_have_count(5)
    await expect(rows.first).to_contain_text("completed")
    await expect(rows.first).to_contain_text("Key Ada API")
    await window.check_accessible()
    await page.locator("input[name=key]").fill("alloy_wrong")
    await page.get_by_role("button", name="Send").click()
    await expect(result).to_contain_text("401")
    await choose(page, "State", "failed")
    await expect(page.get_by_text("No requests")).to_be_visible()
    await choose(page, "State", "completed")
    await expect(rows).to_have_count(5)
    await rows.first.get_by_role("link").click()
    await expect(page).to_have_url(re.compile(r"#/runs/[0-9a-f-]{36}$"))
    await page.go_back()


async def test_a_teammate_is_made_talked_to_opened_and_closed(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served, open_page(served) as window:
        await prepare(served)
        page = window.page
        await make_by_form(window)
        await talk(window)
        assert await page.get_by_role("tab", name="API").count() == 0
        await save_channel(page, "api")
        await expect(page.get_by_role("tab", name="API")).to_be_visible()
        await try_channel(window)
        await expect(page.get_by_role("tab", name="API")).to_have_attribute("aria-selected", "true")
        one = (await served.data("GET", "/teammates", key="me"))[0]
        # Somebody else closes the channel: the open tab goes by itself.
        await served.data("PATCH", f"/teammates/{one['id']}", {"channel": "none"}, key="me")
        await expect(page.get_by_role("tab", name="API")).to_have_count(0)
        await expect(page.get_by_role("tab", name="Chat")).to_have_attribute("aria-selected", "true")
        await page.get_by_role("tab", name="Settings").click()
        await expect(page.get_by_label("Instructions")).to_have_value(MARKUP)
        await page.get_by_role("button", name="Delete this teammate").click()
        await page.get_by_role("button", name="Delete", exact=True).click()
        await expect(page.get_by_text("No teammates yet")).to_be_visible()


async def test_a_reply_is_shown_as_it_is_written_stopped_and_failed(tmp_path: Path) -> None:
    held = Held(chunks("Let me ", "see.", finish=None, usage=None, done=False))
    async with open_vendor() as vendor:
        vendor.replies = [held, says({"error": {"message": "broken"}}, status=400), streams(chunks("Fine ", "now."))]
        spoken = ProviderConfig(base_url=vendor.url, models=(ModelConfig("m"),))
        async with open_app(tmp_path, providers={"vendor": spoken}) as served, open_page(served) as window:
            await prepare(served)
            one = await make(served, provider="vendor", model="m")
            page = window.page
            await window.open(f"/teammates/{one['id']}")
            answers = page.locator(".said.assistant")
            box = page.get_by_label("Message to Ada")
            await box.fill("first")
            await box.press("Enter")
            await expect(answers.last.locator(".words")).to_have_text("Let me see.")
            await page.get_by_role("button", name="Stop").click()
            await expect(answers.last.locator(".foot")).to_contain_text("Stopped.")
            (run,) = await served.data("GET", f"/workflow-runs?teammate_id={one['id']}", key="me")
            assert run["status"] == "cancelled"
            await say(page, "second")
            await expect(answers.last.get_by_role("alert")).to_contain_text("broken")
            await answers.last.get_by_role("button", name="Say it again").click()
            await expect(box).to_have_value("second")
            await page.get_by_role("button", name="Send").click()
            await expect(answers.last.locator(".words")).to_have_text("Fine now.")
            await expect(answers.last.locator(".foot")).to_contain_text("9 tokens in, 3 out")
            # What others say in the conversation that is shown appears by itself, and so does a conversation of theirs.
            talk_id = page.url.partition("conversation=")[2]
            said = {"message": "from elsewhere", "conversation_id": talk_id}
            vendor.replies = [says(chat("Heard."))]
            await served.data("POST", f"/teammates/{one['id']}/messages", said, key="me")
            await expect(answers.last.locator(".words")).to_have_text("Heard.")
            await served.data("POST", f"/teammates/{one['id']}/messages", {"message": "anew"}, key="me")
            await expect(page.locator(".talk").first).to_contain_text("anew")


RUNNERS = {"curl": ["bash"], "Python": [sys.executable], "JavaScript": ["node"], "OpenAI client": [sys.executable]}


async def run(command: list[str], text: str, directory: Path) -> tuple[int, str]:
    """Paste ``text`` into a program; its exit code and what it says."""
    file = directory / "example"
    await asyncio.to_thread(file.write_text, text)
    program = await asyncio.create_subprocess_exec(
        *command,
        str(file),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=directory,
        env={**os.environ, "NO_PROXY": "*"},
    )
    async with asyncio.timeout(LONG_S):
        said, _ = await program.communicate()
    return program.returncode or 0, said.decode()


async def test_the_examples_work_as_they_are_pasted(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served, open_page(served) as window:
        await prepare(served)
        one = await make(served)
        page = window.page
        await window.open(f"/teammates/{one['id']}?tab=api")
        await page.get_by_role("button", name="Create a key for this teammate").click()
        await page.get_by_role("button", name="Make the key").click()
        await expect(page.locator(".secret code")).to_have_count(2)
        for language, command in RUNNERS.items():
            await page.get_by_role("tab", name=language).click()
            text = await page.get_by_role("region", name=f"{language} example").inner_text()
            if language == "OpenAI client":
                text = text.replace("YOUR_CONTROL_KEY", served.keys["me"])
            assert "YOUR_" not in text
            if shutil.which(command[0]) is None:
                continue
            code, said = await run(command, text, tmp_path)
            assert code == 0, said
            assert "Hello. What can you do for me?" in said, said
        rows = page.get_by_role("table", name="Requests").locator("tbody tr")
        await expect(rows).to_have_count(sum(shutil.which(command[0]) is not None for command in RUNNERS.values()))


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_they_fit_a_phone(tmp_path: Path, scheme: str) -> None:
    async with open_app(tmp_path) as served, open_page(served, size=PHONE, color_scheme=scheme) as window:
        await prepare(served)
        one = await make(served, role=MARKUP, instructions="x" * 500, tools=[{"type": "workflow", "workflow": "greet"}])
        said = await served.data("POST", f"/teammates/{one['id']}/messages", {"message": "y" * 300}, key="me")
        own = f"/teammates/{one['id']}"
        for path in ("/teammates", "/teammates/new", f"{own}?conversation={said['conversation_id']}", f"{own}?tab=api"):
            await window.open(path)
            await window.check_width()
            await window.check_accessible()
        assert await window.page.locator("main img").count() == 0
