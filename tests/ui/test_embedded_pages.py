"""The pages of embedded integrations in a real browser: from an integration to a purged end user, and credentials."""

from __future__ import annotations

import asyncio
from pathlib import Path

from playwright.async_api import Page, expect

from tests.app import Served, open_app
from tests.ui.browser import PHONE, Window, open_page
from tests.ui.embedded import MARKUP, fill_embedded, publish
from tests.ui.samples import OWN, own_principal

SECRET = "xoxb-never-to-be-seen"


def own(served: Served) -> str:
    """The key of the organization where the signed-in user is."""
    first = served.app.first_key
    assert first is not None
    assert first.issued.raw is not None
    served.keys[OWN] = first.issued.raw
    return OWN


async def act(page: Page, name: str, what: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()
    await page.get_by_role("menuitem", name=what, exact=True).click()


async def test_from_an_integration_to_a_purged_end_user(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served, open_page(served) as window:
        key = own(served)
        workflow = await publish(served, key, "order-sync", "1.0.0")
        await _make_an_integration(window)
        await _make_and_install(window)
        (user,) = await served.data("GET", "/end-users", key=key)
        started = await served.app.embedded_events.trigger(own_principal(served), user["id"], "order.created", {})
        await publish(served, key, "order-sync", "1.9", "workflow.noop")
        await _release_and_compare(window, workflow)
        await _switch_and_upgrade(window, served)
        await _look_at_the_user(window, started.started[0])
        await _uninstall(window, served, started.started[0])
        await _purge(window, served, user["id"])
        assert await served.data("GET", "/end-users", key=key) == []


async def _make_an_integration(window: Window) -> None:
    page = window.page
    await window.open("/integrations")
    await page.get_by_role("button", name="New integration").first.click()
    await page.get_by_label("Name", exact=True).fill(MARKUP)
    await page.get_by_label("Short name").fill("No Slug")
    await page.get_by_role("button", name="Make the integration").click()
    await expect(page.get_by_label("Short name")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("Short name").fill("shopify")
    await page.get_by_role("button", name="Make the integration").click()
    await expect(page.get_by_role("heading", level=1, name=MARKUP)).to_be_visible()
    await page.get_by_role("button", name="Edit").click()
    await page.get_by_label("Category").fill("E-Commerce")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_role("tab", name="About").click()
    await expect(page.get_by_text("E-Commerce")).to_be_visible()
    await page.get_by_role("tab", name="Workflows").click()
    await page.get_by_role("button", name="Add a workflow").first.click()
    await page.get_by_label("Workflow", exact=True).select_option(label="order-sync")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.get_by_role("row", name="order-sync")).to_contain_text("nobody")


async def _make_and_install(window: Window) -> None:
    page = window.page
    await window.open("/end-users")
    await page.get_by_role("button", name="New end user").click()
    await page.get_by_label("Username").fill("ann@example.com")
    await page.get_by_label("Full name").fill(MARKUP)
    await page.get_by_role("button", name="Make the end user").click()
    await expect(page.get_by_role("heading", level=1, name="ann@example.com")).to_be_visible()
    await page.get_by_role("button", name="Install", exact=True).click()
    await page.get_by_label("Workflow", exact=True).select_option(label="order-sync")
    await page.get_by_label("Configuration").fill('{"shop": "ann"}')
    await page.get_by_role("dialog").get_by_role("button", name="Install").click()
    await expect(page.get_by_role("row", name="order-sync")).to_contain_text("active")


async def _release_and_compare(window: Window, workflow: str) -> None:
    """1.10.0 is offered after 1.9, and what changed is shown."""
    page = window.page
    await window.open("/integrations/int_shopify")
    await expect(page.get_by_role("row", name="order-sync")).to_contain_text("1.0.0: 1")
    await act(page, "What to do with order-sync", "Publish a release…")
    await expect(page.get_by_text("1 installation stays at what it is")).to_be_visible()
    await expect(page.get_by_label("Number")).to_have_value("1.10.0")
    await page.get_by_label("Number").fill("beta")
    await page.get_by_role("button", name="Publish", exact=True).click()
    await expect(page.locator("dialog .fault:visible")).to_contain_text("Dotted numbers")
    await page.get_by_label("Number").fill("1.10.0")
    await page.get_by_role("button", name="Publish", exact=True).click()
    await expect(page.get_by_role("row", name="order-sync")).to_contain_text("1.10.0")
    await act(page, "What to do with order-sync", "Compare releases")
    await expect(page.get_by_text("Both are the same version.")).to_be_visible()
    await page.get_by_label("From").select_option(label="1.0.0 (version 1)")
    await expect(page.locator(".diff .added").last).to_contain_text("workflow.noop")
    await window.check_accessible()
    await page.keyboard.press("Escape")
    await act(page, "What to do with order-sync", "Who has it")
    await expect(page).to_have_url(f"{window.url}/#/installations?workflow={workflow}")


async def _switch_and_upgrade(window: Window, served: Served) -> None:
    page, name = window.page, "What to do with the installation of ann@example.com"
    row = page.get_by_role("row", name="ann@example.com")
    await act(page, name, "Upgrade to 1.10.0")
    await expect(row).to_contain_text("1.10.0")
    await act(page, name, "Deactivate")
    await expect(row).to_contain_text("inactive")
    (one,) = await served.data("GET", "/installations", key=OWN)
    assert (one["release"], one["active"], one["configuration"]) == ("1.10.0", False, {"shop": "ann"})
    await page.get_by_label("State").select_option("Active")
    await expect(page.get_by_text("No installations here")).to_be_visible()
    await page.get_by_label("State").select_option("Inactive")
    await page.get_by_label("Integration").select_option(MARKUP)
    await page.get_by_label("End user").fill("ann@example.com")
    await page.get_by_role("button", name="Apply").click()
    await expect(row).to_be_visible()
    await served.data("PATCH", f"/installations/{one['id']}", {"active": True}, key=OWN)  # by somebody else
    await expect(row.get_by_text("active", exact=True)).to_be_visible()


async def _look_at_the_user(window: Window, run: str) -> None:
    page = window.page
    await window.open("/end-users")
    await page.get_by_label("Search").fill("nobody")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_text("No end users here")).to_be_visible()
    await page.get_by_label("Search").fill("BOLD")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("row", name="ann@example.com")).to_contain_text(MARKUP)
    await page.get_by_role("link", name="ann@example.com").click()
    await page.get_by_role("tab", name="Runs").click()
    await expect(page.get_by_role("row", name=run[-8:])).to_contain_text("waiting")
    await window.check_accessible()
    assert await page.locator("main :is(img, b)").count() == 0


async def _uninstall(window: Window, served: Served, run: str) -> None:
    page = window.page
    await page.get_by_role("tab", name="Installations").click()
    await act(page, "What to do with the installation of ann@example.com", "Uninstall…")
    asked = page.get_by_role("dialog", name="Uninstall order-sync for ann@example.com?")
    await expect(asked).to_contain_text("those that wait too")
    await asked.get_by_role("button", name="Uninstall").click()
    await expect(page.get_by_text("Nothing is installed")).to_be_visible()
    await page.get_by_role("tab", name="Runs").click()
    await expect(page.get_by_role("row", name=run[-8:])).to_contain_text("cancelled")
    assert await served.data("GET", "/installations", key=OWN) == []


async def _purge(window: Window, served: Served, user: str) -> None:
    """Only with the username typed; the purge is shown until it is done, also to who comes anew."""
    page, may_end = window.page, asyncio.Event()
    served.app.end_user_purge.on_deleted(may_end.wait)
    await act(page, "More", "Delete and purge…")
    await page.get_by_label("The username, to be sure").fill("ann")
    await page.get_by_role("button", name="Delete and purge").click()
    await expect(page.get_by_text("That is not the username.")).to_be_visible()
    await page.get_by_label("The username, to be sure").fill("ann@example.com")
    await page.get_by_role("button", name="Delete and purge").click()
    await expect(page.get_by_role("heading", level=1, name="End users")).to_be_visible()
    await expect(page.locator(".notices")).to_contain_text(f"What {user} left is being taken away")
    await page.reload()
    await expect(page.locator(".notices")).to_contain_text("purging")
    await window.check_accessible()
    may_end.set()
    await expect(page.locator(".notices")).to_contain_text(f"Nothing of {user} is left")


async def test_a_credentials_secret_is_nowhere_afterwards(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served, open_page(served, size=PHONE, color_scheme="dark") as window:
        page, key = window.page, own(served)
        sample = await fill_embedded(served, key)
        await window.open("/connectors/slack")
        await page.get_by_label("Search").fill("react")
        await page.get_by_role("button", name="Details").click()
        await expect(page.get_by_role("dialog", name="React to a message")).to_contain_text('"action": "add_reaction"')
        await window.check_accessible()
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="New credential").click()
        await page.get_by_label("How").select_option("Token")
        await expect(page.get_by_label("Token", exact=True)).to_have_attribute("type", "password")
        await page.get_by_role("button", name="Make the credential").click()
        await expect(page.get_by_text("This is needed.")).to_be_visible()
        await page.get_by_label("Token", exact=True).fill(SECRET)
        await page.get_by_label("Label").fill("Fresh")
        await page.get_by_role("button", name="Make the credential").click()
        await expect(page.get_by_text("The credential is made.")).to_be_visible()
        await page.get_by_role("link", name="Credentials").last.click()
        await expect(page.get_by_role("row", name="Fresh")).to_be_visible()
        assert SECRET not in await page.content()
        fields = "() => [...document.querySelectorAll('input, textarea')].map((field) => field.value).join()"
        assert SECRET not in await page.evaluate(fields)
        await _connect_by_oauth(window, served)
        await window.open(f"/end-users/{sample['end_user']}?tab=credentials")
        await expect(page.get_by_role("row", name=MARKUP)).to_be_visible()
        await act(page, f"What to do with {MARKUP}", "Delete…")
        await page.get_by_role("button", name="Delete", exact=True).click()
        await expect(page.get_by_text("No credentials here")).to_be_visible()
        assert len(await served.data("GET", "/credentials", key=key)) == 3


async def _connect_by_oauth(window: Window, served: Served) -> None:
    """Up to the vendor's page, which no test visits: another way the account's tokens come in all the same."""
    page = window.page
    await page.clock.set_fixed_time(served.clock.now_ms() / 1000)
    await page.get_by_role("button", name="New credential").click()
    asked = page.get_by_role("dialog")
    await asked.get_by_label("Client id").fill("the-client")
    await asked.get_by_label("Client secret").fill(SECRET)
    await asked.get_by_role("button", name="Begin").click()
    link = asked.get_by_role("link", name="Go to Slack")
    address = await link.get_attribute("href")
    assert address is not None
    assert address.startswith("https://slack.com/oauth/v2/authorize?")
    assert await link.get_attribute("target") == "_blank"
    await expect(asked).to_contain_text("waiting")
    await window.check_accessible()
    assert SECRET not in await page.content()
    body = {"connector": "slack", "kind": "oauth2", "data": {"access_token": SECRET}, "label": "Connected"}
    await served.data("POST", "/credentials", body, 201, key=OWN)
    await expect(asked).to_contain_text("connected")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("row", name="Connected")).to_be_visible()
    await page.get_by_role("tab", name="OAuth clients").click()
    await expect(page.get_by_role("row", name="slack")).to_contain_text("the-client")
    await window.check_width()
