"""The pages of teams and grants in a real browser."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import expect

from alloyd.principal import Role
from tests.app import open_app
from tests.ui.browser import PHONE, make_user, open_page, open_window
from tests.ui.embedded import MARKUP

BEA = "Ada Lovelace (bea@example.com)"


async def test_a_team_gets_members_and_a_member_grants(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served, open_page(served, size=PHONE) as window:
        page = window.page
        await make_user(served, "bea@example.com", role=Role.VIEWER)
        await window.open("/teams")
        await page.get_by_role("button", name="New team").first.click()
        await page.get_by_label("Name", exact=True).fill(MARKUP)
        await page.get_by_label("Short name").fill("core")
        await page.get_by_role("button", name="Make the team").click()
        await expect(page.get_by_role("heading", level=1, name=MARKUP)).to_be_visible()
        await page.get_by_role("button", name="Add a member").click()
        await page.get_by_label("Member", exact=True).select_option(BEA)
        await page.get_by_label("Role in the team").select_option("admin")
        await page.get_by_role("button", name="Add", exact=True).click()
        row = page.get_by_role("row", name="bea@example.com")
        await expect(row.locator("td").nth(1)).to_have_text("admin")
        await expect(row.locator("td").nth(3)).to_have_text("viewer")
        await window.check_accessible()
        await window.check_width()
        browser = window.context.browser
        assert browser is not None
        async with open_window(browser, served.url) as of_bea:  # a viewer, who leads this team alone
            await of_bea.sign_in("bea@example.com")
            await of_bea.page.goto(page.url)
            await of_bea.page.get_by_role("button", name="Add a member").click()
            await expect(of_bea.page.get_by_label("Role in the team").locator("option")).to_have_count(4)
        await row.get_by_role("button").click()
        await page.get_by_role("menuitem", name="Give another role…").click()
        await page.get_by_label("Role in the team").select_option("")
        await page.get_by_role("button", name="Save").click()
        await expect(row.locator("td").nth(1)).to_have_text("viewer")
        await row.get_by_role("button").click()
        await page.get_by_role("menuitem", name="Take out…").click()
        await page.get_by_role("button", name="Take out", exact=True).click()
        await expect(page.get_by_text("Nobody is in it yet")).to_be_visible()

        await window.open("/grants")
        for effect, action in (("deny", "workflow.*"), ("allow", "job.create")):
            await page.get_by_role("button", name="New grant").click()
            await page.get_by_label("Who").select_option(BEA)
            await page.get_by_label("Effect").select_option(effect)
            await page.get_by_role("dialog").get_by_label("Action").select_option(action)
            await page.get_by_role("button", name="Grant", exact=True).click()
            await expect(page.get_by_role("row", name=action)).to_contain_text(effect)
        await expect(page.locator("tbody tr").first).to_contain_text("deny")
        await expect(page.locator("tbody tr").nth(1)).to_contain_text(BEA)
        await page.get_by_label("Action").fill("workflow.run")
        await page.get_by_role("button", name="Check").click()
        await expect(page.get_by_text("You may.")).to_be_visible()
        await page.get_by_label("On (optional)").fill("workflow:0198c1de-0000-7000-8000-000000000000")
        await page.get_by_role("button", name="Check").click()
        await expect(page.get_by_text("You may not.")).to_be_visible()
        await window.check_accessible()
        await window.check_width()
        await page.get_by_role("row", name="workflow.*").get_by_role("button", name="Take back").click()
        await page.get_by_role("dialog").get_by_role("button", name="Take back").click()
        await expect(page.locator("tbody tr")).to_have_count(1)
