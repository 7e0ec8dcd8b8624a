"""The page in a real browser: set up, sign in, make a key, look around, sign out; by keyboard, on a phone."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from alloyd.domain.users.service import CreateUser
from alloyd.principal import Role
from tests.app import Served, open_app
from tests.ui.browser import EMAIL, PASSWORD, PHONE, Window, make_user, open_browser, open_page, open_window
from tests.ui.samples import fill, paths_of

COUNT_WRITES_AND_FRAMES = """() => {
    window.writes_ = window.frames_ = 0;
    const list = document.querySelector(".event-list");
    new MutationObserver(() => { window.writes_ += 1; }).observe(list, {childList: true});
    const tick = () => { window.frames_ += 1; requestAnimationFrame(tick); };
    requestAnimationFrame(tick);
}"""


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as browser:
        yield browser


async def set_up(window: Window, token: str) -> None:
    await window.open(f"/setup/{token}")
    await window.page.get_by_label("Your name").fill("Ada Lovelace")
    await window.page.get_by_label("E-mail").fill(EMAIL)
    await window.page.get_by_label("Password", exact=True).fill(PASSWORD)
    await window.page.get_by_label("Password, once more").fill(PASSWORD)
    await window.page.get_by_role("button", name="Create your user").click()
    await window.page.wait_for_selector(".shell")


async def make_key(window: Window, name: str) -> str:
    """Make a key by hand; the raw key, which is shown this once."""
    page = window.page
    await window.open("/api-keys")
    await page.get_by_role("button", name="New key").click()
    await page.get_by_label("Name").fill(name)
    await page.get_by_role("button", name="Make the key").click()
    raw = await page.locator(".secret code").inner_text()
    await page.get_by_role("button", name="Done").click()
    return raw


async def test_from_the_first_start_to_signing_out(served: Served, browser: Browser) -> None:
    async with open_window(browser, served.url) as window:
        page = window.page
        await set_up(window, await served.app.setup.make_token())
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        name = '<img src=x onerror="alert(1)"> & <b>bold</b>'
        raw = await make_key(window, name)
        await expect(page.get_by_text(name, exact=True)).to_be_visible()
        assert await page.locator("table img").count() == 0
        assert raw not in await page.content()
        served.keys["made"] = raw
        assert (await served.data("GET", "/me", key="made"))["display_name"] == name
        await page.get_by_role("button", name=f"What to do with {name}").click()
        await page.get_by_role("menuitem", name="Revoke…").click()
        await page.get_by_role("button", name="Revoke", exact=True).click()
        await expect(page.get_by_role("row", name=re.compile("revoked")).first).to_be_visible()
        assert (await served.ask("GET", "/me", key="made"))[0] == 401
        await page.get_by_role("button", name="You: Ada Lovelace").click()
        await page.get_by_role("menuitem", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert await window.context.cookies() == []
        await window.open("/api-keys")
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        await page.get_by_label("E-mail").fill(EMAIL)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", name="API keys")).to_be_visible()


async def test_a_spent_link_leads_to_signing_in(served: Served, browser: Browser) -> None:
    token = await served.app.setup.make_token()
    await make_user(served)
    async with open_window(browser, served.url) as window:
        await window.open(f"/setup/{token}")
        await window.page.get_by_role("button", name="Go to sign in").click()
        await expect(window.page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_faults_are_shown_at_their_fields(served: Served, browser: Browser) -> None:
    async with open_window(browser, served.url) as window:
        page = window.page
        await window.open(f"/setup/{await served.app.setup.make_token()}")
        await page.get_by_role("button", name="Create your user").click()
        await expect(page.get_by_label("E-mail")).to_have_attribute("aria-invalid", "true")
        await page.get_by_label("E-mail").fill(EMAIL)
        await page.get_by_label("Password", exact=True).fill("short")
        await page.get_by_label("Password, once more").fill("short")
        await page.get_by_role("button", name="Create your user").click()
        await expect(page.get_by_text("At least 12 bytes")).to_be_visible()
        await expect(page.get_by_label("Password", exact=True)).to_be_focused()
        await window.check_accessible()
        await window.open("/sign-in")
        await page.get_by_label("E-mail").fill(EMAIL)
        await page.get_by_label("Password").fill("wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_have_text("email or password: not right")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_is_accessible_and_fits_a_phone(served: Served, browser: Browser, scheme: str) -> None:
    await make_user(served)
    sample = await fill(served)
    async with open_window(browser, served.url, size=PHONE, color_scheme=scheme) as window:
        await window.open("/sign-in")
        await window.check_accessible()
        await window.check_width()
        await window.sign_in()
        for path in paths_of(sample):
            await window.open(path)
            await window.check_width()
            await window.check_accessible()


async def test_the_drawer_of_a_phone_by_keyboard(served: Served) -> None:
    async with open_page(served, size=PHONE) as window:
        page = window.page
        await expect(page.get_by_role("link", name="API keys")).to_be_hidden()
        opener = page.get_by_role("button", name="Open navigation")
        await opener.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name="Overview")).to_be_focused()
        await window.check_accessible()
        await page.keyboard.press("Escape")
        await expect(opener).to_be_focused()
        await opener.click()
        await page.get_by_role("link", name="API keys").click()
        await expect(page.get_by_role("heading", name="API keys")).to_be_visible()
        await expect(page.get_by_role("link", name="Members")).to_be_hidden()


async def test_menus_and_dialogs_by_keyboard(served: Served) -> None:
    async with open_page(served) as window:
        page = window.page
        await page.reload()
        await window.settled()
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_be_focused()
        await window.open("/api-keys")
        opener = page.get_by_role("button", name="New key")
        await opener.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Name")).to_be_focused()
        await window.check_accessible()
        await page.keyboard.press("Escape")
        await expect(page.locator("dialog")).to_have_count(0)
        await expect(opener).to_be_focused()
        theme = page.get_by_role("button", name="Light or dark")
        await theme.focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("End")
        await expect(page.get_by_role("menuitemradio", name="Dark")).to_be_focused()
        await window.check_accessible()
        await page.keyboard.press("Enter")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await page.reload()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_another_organization_shows_its_own_things(served: Served) -> None:
    await served.key("acme")
    async with open_page(served) as window:
        page = window.page
        user = await served.app.users.get_by_name(EMAIL)
        members, acme = served.app.users.members, served.orgs["acme"]
        await served.app.database.write(lambda tx: members.add(tx, acme, user.id, Role.VIEWER))
        await page.reload()
        await page.get_by_role("button", name="Organization: Default").click()
        await page.get_by_role("menuitemradio", name="acme").click()
        await expect(page.get_by_role("button", name="Organization: acme")).to_be_visible()
        await expect(page.get_by_role("link", name="Members")).to_be_visible()
        await expect(page.get_by_role("link", name="API keys")).to_have_count(0)  # a viewer's navigation
        await window.open("/api-keys")
        await expect(page.get_by_text("Not allowed")).to_be_visible()


async def test_an_address_that_was_cut_is_no_page(served: Served) -> None:
    async with open_page(served) as window:
        for path in ("/runs/%", "/runs/%E0%A4"):
            await window.open(path)
            await expect(window.page.get_by_text("There is no such page.")).to_be_visible()


async def test_a_session_that_ends_elsewhere_ends_here(served: Served) -> None:
    async with open_page(served) as window:
        await served.app.users.sign_out_everywhere((await served.app.users.get_by_name(EMAIL)).id)
        await window.page.get_by_role("link", name="API keys").click()
        await expect(window.page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_live_events_appear_by_themselves_and_many_stay_smooth(served: Served) -> None:
    async with open_page(served) as window:
        page = window.page
        await window.open("/events")
        await expect(page.get_by_text("live", exact=True)).to_be_visible()
        first = served.app.first_key
        assert first is not None
        assert first.issued.raw is not None
        served.keys["own"] = first.issued.raw
        await page.evaluate(COUNT_WRITES_AND_FRAMES)
        for number in range(60):
            await served.data("POST", "/api-keys", {"name": f"key {number}"}, status=201, key="own")
        await expect(page.locator(".event .kind", has_text="api_key.created")).to_have_count(60)
        writes, frames = await page.evaluate("[window.writes_, window.frames_]")
        assert writes <= frames + 1  # batched: at most one change of the list for each frame
        await page.locator("summary").first.click()
        await expect(page.locator(".code")).to_contain_text('"kind": "api_key.created"')
        await window.check_accessible()
        await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        await window.check_width()


async def test_members_are_invited_and_given_roles(served: Served) -> None:
    async with open_page(served) as window:
        page = window.page
        await served.app.users.create(CreateUser("grace@example.com", PASSWORD, "default", Role.MEMBER))
        await window.open("/members")
        await page.get_by_role("button", name="What to do with grace").click()
        await page.get_by_role("menuitem", name="Give another role…").click()
        await page.get_by_label("Role", exact=True).select_option("admin")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("row", name=re.compile("grace.*admin"))).to_be_visible()
        await page.get_by_role("button", name="Invite somebody").click()
        await page.get_by_label("E-mail").fill("linus@example.com")
        await page.get_by_role("button", name="Make the invitation").click()
        await expect(page.locator(".secret code")).to_be_visible()
        await page.get_by_role("button", name="Done").click()
        await expect(page.get_by_role("row", name=re.compile("linus.*pending"))).to_be_visible()


async def test_audit_is_filtered_and_opened(served: Served) -> None:
    async with open_page(served) as window:
        page = window.page
        await window.open("/audit")
        await page.get_by_label("Action", exact=True).fill("auth.*")
        await page.get_by_role("button", name="Apply").click()
        await expect(page.get_by_role("cell", name="auth.sign_in")).to_have_count(1)
        await page.get_by_role("button", name=re.compile("Details of row")).click()
        await expect(page.get_by_role("dialog")).to_contain_text("POST /ui/session")


async def test_a_password_is_changed_and_the_session_goes_on(served: Served) -> None:
    async with open_page(served) as window:
        page = window.page
        await window.open("/account")
        await page.get_by_role("button", name="Change password…").click()
        await page.get_by_label("Your password now").fill("wrong")
        await page.get_by_label("New password", exact=True).fill(f"{PASSWORD}!")
        await page.get_by_label("New password, once more").fill(f"{PASSWORD}!")
        await page.get_by_role("button", name="Change it").click()
        await expect(page.get_by_label("Your password now")).to_have_attribute("aria-invalid", "true")
        await page.get_by_label("Your password now").fill(PASSWORD)
        await page.get_by_role("button", name="Change it").click()
        await expect(page.get_by_text("Your password is changed.")).to_be_visible()
        await window.open("/api-keys")
        await expect(page.get_by_role("heading", name="API keys")).to_be_visible()
