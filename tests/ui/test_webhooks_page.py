"""The pages of webhooks in a real browser: made, told, told again, changed, deleted, against a receiver here."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import expect

from alloyd.config import EgressConfig
from tests.app import open_app
from tests.ui.browser import PHONE, open_page
from tests.ui.samples import own_principal as own

MARKUP = "<b onclick=alert(1)>taken</b>"


class Receiver:
    """Somebody's server: it remembers what came, and answers with what looks like a page."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, bytes]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        headers = request.headers
        self.got.append((headers["X-Alloyd-Delivery"], headers["X-Alloyd-Signature"], await request.read()))
        return web.Response(text=MARKUP, content_type="text/html")

    def is_signed(self, secret: str) -> bool:
        """Whether the newest request was signed with ``secret``."""
        _delivery, signature, body = self.got[-1]
        time, *signed = [part.partition("=")[2] for part in signature.split(",")]
        return hmac.new(secret.encode(), f"{time}.".encode() + body, hashlib.sha256).hexdigest() in signed


@asynccontextmanager
async def receive() -> AsyncIterator[Receiver]:
    receiver, app = Receiver(), web.Application()
    app.router.add_post("/hook", receiver.take)
    async with TestServer(app) as server:
        receiver.url = str(server.make_url("/hook"))
        yield receiver


async def test_a_webhook_is_made_told_and_changed(tmp_path: Path) -> None:
    egress = EgressConfig(allow=("127.0.0.1/32",))
    async with receive() as receiver, open_app(tmp_path, egress=egress) as served, open_page(served) as window:
        page = window.page
        await window.open("/webhooks")
        await page.get_by_role("button", name="New webhook").click()
        await page.get_by_label("Address").fill("ftp://nowhere")
        await page.get_by_label("Events").fill("storage_folder.*\norder.paid")
        await page.get_by_role("button", name="Make the webhook").click()
        await expect(page.locator("dialog .fault:visible")).to_be_visible()
        await page.get_by_label("Address").fill(receiver.url)
        await page.get_by_role("button", name="Make the webhook").click()
        secret = await page.get_by_label("Webhook secret").text_content() or ""
        assert secret.startswith("whsec_")
        await window.check_accessible()
        await page.get_by_role("button", name="Done").click()
        await page.get_by_role("link", name=receiver.url).click()
        await expect(page.get_by_text("No deliveries")).to_be_visible()
        assert secret not in await page.content()

        # It happens while one looks: nothing is pressed.
        await served.app.storage.make_folder(own(served), "made")
        row = page.get_by_role("row").filter(has_text="storage_folder.created")
        await expect(row).to_contain_text("delivered")
        await expect(row).to_contain_text("200")
        assert receiver.is_signed(secret)
        await page.get_by_role("button", name="Details of storage_folder.created").click()
        opened = page.get_by_role("dialog")
        await expect(opened.get_by_role("region", name="Answer to attempt 1")).to_have_text(MARKUP)
        await opened.get_by_text("What is sent").click()
        await expect(opened.get_by_role("region", name="Body")).to_contain_text('"path": "made"')
        await window.check_accessible()
        await page.keyboard.press("Escape")

        await page.get_by_role("button", name="Send storage_folder.created again").click()
        await expect(row.get_by_role("cell").nth(2)).to_have_text("2")
        await expect(row).to_contain_text("delivered")
        assert [delivery for delivery, _signature, _body in receiver.got] == [receiver.got[0][0]] * 2

        await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        await window.check_width()
        menu = page.get_by_role("button", name=f"What to do with {receiver.url}")
        await menu.click()
        await page.get_by_role("menuitem", name="Replace the secret…").click()
        await page.get_by_role("button", name="Make the new secret").click()
        newer = await page.get_by_label("Webhook secret").text_content() or ""
        assert newer != secret
        await page.get_by_role("button", name="Done").click()
        await expect(page.get_by_text("The former secret ends")).to_be_visible()
        await menu.click()
        await page.get_by_role("menuitem", name="Disable…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Disable").click()
        await expect(page.get_by_text("by hand")).to_be_visible()
        await menu.click()
        await page.get_by_role("menuitem", name="Edit…").click()
        await page.get_by_label("Description").fill("<i>Orders</i>")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("<i>Orders</i>")).to_be_visible()
        await menu.click()
        await page.get_by_role("menuitem", name="Delete…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page.get_by_text("No webhooks yet")).to_be_visible()
        await window.check_accessible()
