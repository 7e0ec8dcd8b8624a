"""Workflows and runs in a real browser: written, published, watched, cancelled, run again, by mouse and keyboard."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from alloyd.db import Tx
from alloyd.domain.operations.model import Done
from alloyd.events.model import Event
from tests.app import Served, open_app
from tests.ui.automation import GREETED, MARKUP, ME, ORDERS, Automation, step, transform
from tests.ui.browser import DESKTOP, PHONE, Window, make_user, open_browser, open_page, open_window

FAULTY = """name: written
nodes:
  - key: greet
    operation: transfrom
  - key: finish
    operation: workflow.finish
    depends_on: [greeting]
    config: {output: "{{ steps.greet.output }}"}
"""
SOUND = FAULTY.replace("transfrom", "transform\n    config: {values: {text: 'Hi {{ trigger.name }}'}}").replace(
    "[greeting]", "[greet]"
)
WAITING = step("approved", "workflow.wait_event", config={"event": "order.approved"})
BROKEN = transform("bad", "first", x="{{ trigger.nope }}")
EVENTS = 3000


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


@pytest.fixture
def made(served: Served) -> Automation:
    return Automation(served)


@asynccontextmanager
async def at(served: Served, path: str, size: tuple[int, int] = DESKTOP) -> AsyncIterator[Window]:
    async with open_page(served, size=size) as window:
        await window.open(path)
        yield window


def state_of_run(page: Page) -> Locator:
    return page.locator("h1 .badge")


def step_row(page: Page, key: str) -> Locator:
    return page.locator(".steps-list tr", has=page.get_by_role("button", name=key, exact=True))


def node(page: Page, key: str) -> Locator:
    return page.locator(f'.graph-node[data-id="{key}"]')


async def test_a_definition_is_written_and_published(served: Served, made: Automation) -> None:
    async with at(served, "/workflows/new") as window:
        page = window.page
        editor = page.get_by_label("Definition", exact=True)
        await expect(page.get_by_text("ready to publish")).to_be_visible()
        await editor.fill(FAULTY)
        await expect(page.get_by_text("there is no operation 'transfrom'")).to_be_visible()
        await expect(page.get_by_text("line 4 · nodes[0].operation")).to_be_visible()
        await expect(page.locator(".gutter .bad")).to_have_text(["4", "7"])
        await expect(editor).to_have_attribute("aria-invalid", "true")
        await expect(page.get_by_text("of the last text without faults")).to_be_visible()
        await window.check_accessible()
        await page.get_by_role("button", name="Publish").click()
        await expect(page.locator(".toast")).to_contain_text("can’t be published: 2 faults")
        await page.get_by_role("button", name="line 7 · nodes[1].depends_on[0]").click()
        selected = "(area) => area.value.slice(area.selectionStart, area.selectionEnd)"
        assert await editor.evaluate(selected) == "    depends_on: [greeting]"
        await editor.fill(SOUND)
        await expect(page.get_by_text("ready to publish")).to_be_visible()
        await expect(node(page, "finish")).to_be_visible()
        await page.get_by_role("button", name="Publish").click()
        await expect(page.get_by_role("heading", name="written")).to_be_visible()
        await expect(page.locator(".toast").last).to_have_text("Version 1 is published.")
    (saved,) = await served.data("GET", "/workflow-definitions?q=written", key=ME)
    assert (saved["version"], saved["status"]) == (1, "published")


async def test_tab_indents_and_escape_lets_it_leave(served: Served) -> None:
    async with at(served, "/workflows/new") as window:
        editor = window.page.get_by_label("Definition", exact=True)
        await editor.fill("a:\nb: 1")
        await editor.press("Control+Home")
        await editor.press("End")
        await editor.press("Enter")
        await editor.press("Tab")
        await window.page.keyboard.type("c: 2")
        assert await editor.input_value() == "a:\n  c: 2\nb: 1"
        await editor.press("Shift+Tab")
        assert await editor.input_value() == "a:\nc: 2\nb: 1"
        await editor.press("Control+z")
        assert await editor.input_value() == "a:\n  c: 2\nb: 1"
        await editor.press("Escape")
        await editor.press("Tab")
        await expect(editor).not_to_be_focused()


async def test_an_edit_makes_the_next_version_and_shows_what_changed(served: Served, made: Automation) -> None:
    workflow = await made.publish("flow", transform("a", x=1))
    async with at(served, f"/workflows/{workflow}/edit") as window:
        page = window.page
        editor = page.get_by_label("Definition", exact=True)
        text = await editor.input_value()
        await editor.fill(text.replace("flow", "other"))
        await page.get_by_role("button", name="Publish").click()
        await expect(page.get_by_text("with another one a new workflow would be made")).to_be_visible()
        await editor.fill(text.replace("x: 1", "x: 2"))
        await page.get_by_role("button", name="Publish").click()
        await expect(page.locator(".toast").last).to_contain_text("Version 2 is published")
        await page.get_by_role("tab", name="Versions").click()
        await page.get_by_role("button", name="Changes").click()
        await expect(page.locator(".diff .removed")).to_contain_text("x: 1")
        await expect(page.locator(".diff .added")).to_contain_text("x: 2")
        await page.keyboard.press("Escape")
        await page.get_by_role("row", name="Version 1").get_by_role("button", name="Name").click()
        await page.get_by_role("dialog").get_by_label("Name").fill("1.0.0")
        await page.get_by_role("button", name="Name it").click()
        await expect(page.get_by_role("row", name="Version 1")).to_contain_text("1.0.0")
        await page.get_by_role("link", name="Version 1").click()
        await expect(page.get_by_text("You see version 1")).to_be_visible()


async def test_the_form_asks_for_what_the_definition_says(served: Served, made: Automation) -> None:
    last = step("end", "workflow.finish", config={"output": "{{ trigger }}"})
    workflow = await made.publish("greeting", last, payload_schema=GREETED)
    async with at(served, f"/workflows/{workflow}") as window:
        page = window.page
        await page.get_by_role("button", name="Run now").click()
        form = page.get_by_role("dialog")
        run = form.get_by_role("button", name="Run", exact=True)
        await run.click()
        await expect(form.get_by_text("This is needed.")).to_be_visible()
        await form.get_by_label("Name").fill("A")
        await run.click()
        await expect(form.get_by_text("At least 2 characters are wanted.")).to_be_visible()
        await form.get_by_label("Name").fill(MARKUP)
        await form.get_by_label("times").fill("10")
        await run.click()
        await expect(form.get_by_text("At most 9 is wanted.")).to_be_visible()
        await form.get_by_label("times").fill("3")
        await form.get_by_label("loud").check()
        await form.get_by_label("tone").select_option(label="dry")
        await form.get_by_label("extra").fill("{")
        await run.click()
        await expect(form.get_by_text("Not valid JSON")).to_be_visible()
        await form.get_by_label("extra").fill('{"a": 1}')
        await window.check_accessible()
        await run.click()
        await expect(state_of_run(page)).to_have_text("completed")
        run_id = page.url.rpartition("/")[2]
        wanted = {"name": MARKUP, "times": 3, "loud": True, "tone": "dry", "extra": {"a": 1}}
        assert (await served.data("GET", f"/workflow-runs/{run_id}", key=ME))["output"] == wanted


async def test_a_run_is_watched_from_its_start_to_its_end(served: Served, made: Automation) -> None:
    asked = step("ask", "test.ask", config={"value": "{{ trigger.name }}"})
    workflow = await made.publish("watched", asked, transform("after", "ask", got="{{ steps.ask.output }}"))
    async with at(served, f"/workflows/{workflow}") as window:
        page = window.page
        await page.get_by_role("button", name="Run now").click()
        await page.get_by_label("Payload").fill(f'{{"name": "{MARKUP}"}}')
        await page.get_by_role("dialog").get_by_role("button", name="Run", exact=True).click()
        await expect(state_of_run(page)).to_have_text("running")
        await expect(node(page, "ask")).to_have_attribute("data-state", "running")
        await expect(node(page, "after")).not_to_have_attribute("data-state", "completed")
        await expect(step_row(page, "after")).to_contain_text("to come")
        (await served.outside.next()).answer(Done({"html": MARKUP}))
        await expect(state_of_run(page)).to_have_text("completed")
        await expect(node(page, "after")).to_have_attribute("data-state", "completed")
        await expect(step_row(page, "ask")).to_contain_text("completed")
        await page.get_by_role("button", name="ask", exact=True).click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("region", name="Output")).to_contain_text(MARKUP)
        await expect(dialog.get_by_role("region", name="Input")).to_contain_text(MARKUP)
        await window.check_accessible()
        await page.keyboard.press("Escape")
        await page.get_by_role("tab", name="Data").click()
        await expect(page.get_by_role("region", name="Payload")).to_contain_text(MARKUP)
        await page.get_by_role("tab", name="Events").click()
        await expect(page.get_by_text("workflow.node.completed")).to_have_count(2)
        assert await page.locator("#main img").count() == 0


async def test_a_waiting_run_is_cancelled(served: Served, made: Automation) -> None:
    run = await made.start(await made.publish("approval", WAITING))
    async with at(served, f"/runs/{run}") as window:
        page = window.page
        await expect(state_of_run(page)).to_have_text("waiting")
        await page.get_by_role("button", name="Cancel", exact=True).click()
        await page.get_by_role("button", name="Cancel the run").click()
        await expect(state_of_run(page)).to_have_text("cancelled")
        await expect(node(page, "approved")).to_have_attribute("data-state", "skipped")
        await expect(page.get_by_role("button", name="Run again…")).to_be_visible()
        assert (await made.ended(run))["status"] == "cancelled"


async def test_a_waiting_step_is_signalled(served: Served, made: Automation) -> None:
    run = await made.start(await made.publish("approval", WAITING, transform("ship", "approved.received")))
    async with at(served, f"/runs/{run}") as window:
        page = window.page
        await expect(node(page, "approved")).to_have_attribute("data-state", "waiting")
        await node(page, "approved").click()
        await page.get_by_role("button", name="Signal…").click()
        await page.get_by_label("Payload").fill('{"by": "Ada"}')
        await page.get_by_role("button", name="Send").click()
        await expect(state_of_run(page)).to_have_text("completed")
        steps = (await made.ended(run))["steps"]
        assert steps[0]["output"]["payload"] == {"by": "Ada"}


async def test_a_failed_run_goes_on_from_here_by_a_mended_version(served: Served, made: Automation) -> None:
    first = transform("first", a=1)
    run = await made.start(await made.publish("broken", first, BROKEN))
    await made.ended(run)
    await made.publish("broken", first, transform("bad", "first", x="mended"))
    async with at(served, f"/runs/{run}") as window:
        page = window.page
        await expect(page.get_by_role("alert")).to_contain_text("no such key")
        await node(page, "bad").click()
        await page.get_by_role("button", name="Retry from here…").click()
        await expect(page.get_by_label("Begin")).to_have_value("bad")
        await page.get_by_label("Version").select_option("latest")
        await page.get_by_role("dialog").get_by_role("button", name="Run again").click()
        await expect(state_of_run(page)).to_have_text("completed")
        await expect(page.locator(".page-head")).to_contain_text("version 2")
        assert run not in page.url
        await page.get_by_role("tab", name="Lineage").click()
        await page.get_by_role("tabpanel").get_by_role("link", name=run[-8:]).click()
        await expect(page.get_by_text("It was run again")).to_be_visible()


async def test_the_graph_is_gone_through_by_keyboard(served: Served, made: Automation) -> None:
    workflow = await made.publish("orders", *ORDERS)
    async with at(served, f"/workflows/{workflow}") as window:
        page = window.page
        await node(page, "check").focus()
        for key, there in (("ArrowDown", "refuse"), ("ArrowLeft", "lines"), ("End", "lines/tax"), ("Home", "check")):
            await page.keyboard.press(key)
            await expect(node(page, there)).to_be_focused()
        await expect(page.locator(".graph-node[tabindex='0']")).to_have_count(1)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_contain_text("workflow.branch")
        await page.keyboard.press("Escape")
        await page.get_by_text("The steps in words").click()
        words = page.locator(".graph-words li")
        await expect(words.nth(1)).to_have_text("lines workflow.foreach, after check (then)")
        await expect(words).to_have_count(8)


async def test_a_teammate_s_turns_stand_below_their_step(served: Served, made: Automation) -> None:
    teammate = await served.data("POST", "/teammates", {"name": "Ada"}, status=201, key=ME)
    await served.data("POST", f"/teammates/{teammate['id']}/messages", {"message": "hello"}, key=ME)
    (run,) = await served.data("GET", f"/workflow-runs?teammate_id={teammate['id']}", key=ME)
    async with at(served, f"/runs/{run['id']}") as window:
        page = window.page
        grown = page.locator(".graph-node.grown")
        await expect(grown.first).to_have_attribute("data-state", "completed")
        await grown.first.click()
        await expect(page.get_by_role("dialog")).to_contain_text("Asked for by")
        assert await page.get_by_role("button", name="Retry from here…").count() == 0


async def test_new_runs_appear_without_taking_the_focus(served: Served, made: Automation) -> None:
    workflow = await made.publish("quick", transform("a", x=1))
    first = await made.start(workflow)
    await made.ended(first)
    async with at(served, "/runs") as window:
        page = window.page
        row = page.get_by_role("link", name=f"Run {first[-8:]}")
        await row.focus()
        await expect(page.get_by_text("live", exact=True)).to_be_visible()
        runs = [await made.start(workflow) for _ in range(30)]
        await expect(page.locator("table tbody tr")).to_have_count(31)
        await expect(page.get_by_role("link", name=f"Run {runs[-1][-8:]}")).to_be_visible()
        await expect(page.locator("table tbody .badge.good")).to_have_count(31)
        await expect(row).to_be_focused()
        await page.get_by_label("State").select_option("failed")
        await expect(page.get_by_text("No runs here", exact=True)).to_be_visible()
        assert "status=failed" in page.url


async def test_a_long_list_begins_with_one_request_and_goes_on(served: Served, made: Automation) -> None:
    workflow = await made.publish("quick", transform("a", x=1))
    runs = [await made.start(workflow) for _ in range(60)]
    for run in runs:
        await made.ended(run)
    async with open_page(served) as window:
        asked: list[str] = []
        window.page.on("request", lambda request: asked.append(request.url))
        await window.open("/runs")
        rows = window.page.locator("table tbody tr")
        await expect(rows).to_have_count(50)
        assert len([url for url in asked if "/ui/v1/workflow-runs?" in url]) == 1
        await window.page.get_by_role("button", name="Show more").click()
        await expect(rows).to_have_count(60)


async def test_a_flood_of_events_leaves_the_page_its_size(served: Served, made: Automation) -> None:
    run = await made.start(await made.publish("approval", WAITING))
    org_id = (await served.data("GET", "/me", key=ME))["organization_id"]

    def emit(tx: Tx) -> None:
        for number in range(EVENTS // 10):
            payload = {"number": number}
            tx.emit(Event(org_id, "workflow.node.retrying", run, payload, run_id=run, node_key="approved"))

    async with at(served, f"/runs/{run}?tab=events") as window:
        page = window.page
        await expect(page.get_by_text("live", exact=True)).to_be_visible()
        before = await page.evaluate("document.querySelectorAll('*').length")
        for _ in range(10):
            await served.app.database.write(emit)
        await expect(page.get_by_text(re.compile(r"\d+ older ones are not shown"))).to_be_visible()
        await made.served.data("POST", f"/workflow-runs/{run}/cancel", status=202, key=ME)
        await expect(state_of_run(page)).to_have_text("cancelled")
        await expect(page.locator(".event-list > li").first).to_contain_text("workflow.run.cancelled")
        assert await page.locator(".event-list > li").count() == 200
        assert await page.evaluate("document.querySelectorAll('*').length") < before + 200 * 8


async def test_schedules(served: Served, made: Automation) -> None:
    await made.publish("quick", transform("a", x=1))
    async with at(served, "/schedules") as window:
        page = window.page
        await page.get_by_role("button", name="New schedule").first.click()
        form = page.get_by_role("dialog")
        await form.get_by_label("Workflow").select_option(label="quick")
        await form.get_by_label("Name").fill("office hours")
        await form.get_by_label("When").fill("61 * * * *")
        await form.get_by_label("Time zone").fill("Europe/Berlin")
        await form.get_by_role("button", name="Make the schedule").click()
        await expect(form.locator(".fault:visible")).to_have_count(1)
        await expect(form.get_by_label("When")).to_have_attribute("aria-invalid", "true")
        await form.get_by_label("When").fill("0 9 * * 1-5")
        await form.get_by_role("button", name="Make the schedule").click()
        row = page.get_by_role("row", name="office hours")
        await expect(row).to_contain_text("active")
        what = page.get_by_role("button", name="What to do with office hours")
        await what.click()
        await page.get_by_role("menuitem", name="Next times").click()
        await expect(page.get_by_role("dialog").get_by_role("row")).to_have_count(11)
        await expect(page.get_by_role("dialog").get_by_role("cell").first).to_contain_text("09:00")
        await page.keyboard.press("Escape")
        for item, state in (("Pause", "paused"), ("Resume", "active")):
            await what.click()
            await page.get_by_role("menuitem", name=item).click()
            await expect(row).to_contain_text(state)
        await what.click()
        await page.get_by_role("menuitem", name="Change…").click()
        await page.get_by_role("dialog").get_by_label("Name").fill("working hours")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("row", name="working hours")).to_be_visible()
        await page.get_by_role("button", name="What to do with working hours").click()
        await page.get_by_role("menuitem", name="Delete…").click()
        await page.get_by_role("button", name="Delete", exact=True).click()
        await expect(page.get_by_text("No schedules yet", exact=True)).to_be_visible()


async def test_dead_letters(served: Served, made: Automation) -> None:
    broken = await made.publish("broken", transform("first", a=1), BROKEN)
    again, gone = [await made.start(broken) for _ in range(2)]
    for run in (again, gone):
        await made.ended(run)
    await made.publish("broken", transform("first", a=1), transform("bad", "first", x="mended"))
    async with at(served, "/dead-letters") as window:
        page = window.page
        await page.get_by_role("row", name=gone[-8:]).get_by_role("button", name="Dismiss").click()
        await page.get_by_role("dialog").get_by_role("button", name="Dismiss").click()
        await expect(page.get_by_role("row", name=gone[-8:])).to_have_count(0)
        await page.get_by_role("row", name=again[-8:]).get_by_role("button", name="Run again").click()
        await page.get_by_label("Version").select_option("latest")
        await page.get_by_role("dialog").get_by_role("button", name="Run again").click()
        await expect(page.get_by_text("Nothing failed", exact=True)).to_be_visible()
    found = await served.data("GET", f"/workflow-runs/{again}", key=ME)
    assert (await made.ended(found["retried_by"]))["status"] == "completed"


async def test_a_workflow_is_found_and_deleted(served: Served, made: Automation) -> None:
    for name in ("orders", "invoices"):
        await made.publish(name, transform("a", x=1))
    async with at(served, "/workflows") as window:
        page = window.page
        await page.get_by_label("Name").fill("INVO")
        await expect(page.locator("table tbody tr")).to_have_count(1)
        await page.get_by_role("link", name="invoices").click()
        await page.get_by_role("button", name="More").click()
        await page.get_by_role("menuitem", name="Delete…").click()
        await page.get_by_role("button", name="Delete", exact=True).click()
        await expect(page.get_by_role("link", name="orders")).to_be_visible()
        await expect(page.get_by_role("link", name="invoices")).to_have_count(0)


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "dark"), (PHONE, "light")], ids=["desktop", "phone"])
async def test_every_page_fits_and_is_accessible(
    served: Served, made: Automation, size: tuple[int, int], scheme: str
) -> None:
    await made.fill()
    ids = made.ids
    paths = [
        *("/workflows", "/workflows/new", "/runs", "/schedules", "/dead-letters", f"/workflows/{ids['a draft']}"),
        *(f"/workflows/{ids['orders']}?tab={tab}" for tab in ("graph", "runs", "definition", "versions")),
        *(f"/runs/{ids['run']}?tab={tab}" for tab in ("steps", "data", "lineage", "events")),
        *(f"/runs/{ids['waiting']}", f"/runs/{ids['failed']}", f"/runs?parent={ids['run']}"),
    ]
    await make_user(served)
    async with open_browser() as browser, open_window(browser, served.url, size=size, color_scheme=scheme) as window:
        await window.sign_in()
        for path in paths:
            await window.open(path)
            await window.check_accessible()
            await window.check_width()
