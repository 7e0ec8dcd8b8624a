"""Sample data for looking at pages: an installation in which something has happened."""

from __future__ import annotations

import re
from pathlib import Path

from alloyd.principal import Principal, system_principal
from tests.app import Served
from tests.ui.activity import fill_activity
from tests.ui.automation import Automation
from tests.ui.embedded import fill_embedded

PAGES = Path(__file__).parents[2] / "alloyd" / "ui" / "js" / "pages.js"
# The key's name for `Served.ask`: an owner of the organization `default`, where the signed-in user is.
OWN = "own"

# By the path of a page with parameters: the kind of sample that stands at its first parameter.
Sample = dict[str, str]


def own_principal(served: Served) -> Principal:
    """alloyd itself in the organization `default`."""
    first = served.app.first_key
    assert first is not None
    return system_principal(first.issued.key.org_id)


async def fill(served: Served, receiver_url: str | None = None) -> Sample:
    """Make some of everything in the organization `default`; ids by the kind of thing.

    ``receiver_url`` takes the deliveries of one webhook, if the program may call it.
    """
    first = served.app.first_key
    assert first is not None
    assert first.issued.raw is not None
    served.keys[OWN] = first.issued.raw
    sample: Sample = {"folder": "invoices", **await fill_activity(served, OWN, receiver_url)}
    for name in ("nightly import", "website", "<b>markup & more</b>"):
        sample["api_key"] = (await served.data("POST", "/api-keys", {"name": name}, status=201, key=OWN))["id"]
    await served.data("DELETE", f"/api-keys/{sample['api_key']}", key=OWN)
    await served.data("POST", "/invitations", {"email": "grace@example.com", "role": "admin"}, status=201, key=OWN)
    automation = Automation(served)
    await automation.fill()
    for minute in range(8):
        for _ in range(minute % 3 + 1):
            run = await automation.start(automation.ids["orders" if minute % 4 else "broken"], {"lines": [1]})
            await automation.ended(run)
        served.clock.advance(60_000)
    sample |= {"workflow": automation.ids["orders"], "run": automation.ids["run"], "failed": automation.ids["failed"]}
    return sample | await fill_embedded(served, OWN)


def paths_of(sample: Sample) -> list[str]:
    """Every page of pages.js that a signed-in user may see: with a sample's id where one is wanted."""
    paths = re.findall(r'^  page\("([^"]+)"', PAGES.read_text(), re.MULTILINE)
    shown = [path for path in paths if path not in VISITORS]
    return [re.sub(r":\w+\*?", lambda _: sample[KINDS[path.partition("/:")[0]]], path) for path in shown]  # noqa: B023  # called at once


def tabs_of(sample: Sample) -> list[str]:
    """The tabs that stand behind those that a page opens with, and a run that failed."""
    by_tab = [f"{path.format(**sample)}?tab={tab}" for path, tabs in TABS.items() for tab in tabs.split()]
    return [*by_tab, f"/runs/{sample['failed']}"]


VISITORS = ("/sign-in", "/setup/:token")
TABS = {
    "/runs/{run}": "data lineage events",
    "/workflows/{workflow}": "runs definition versions",
    "/teammates/{teammate}": "api settings",
}
# What the parameter of a path names, by what stands before it.
KINDS = {
    "/integrations": "integration",
    "/end-users": "end_user",
    "/connectors": "connector",
    "/teams": "team",
    "/workflows": "workflow",
    "/runs": "run",
    "/jobs": "job",
    "/webhooks": "webhook",
    "/teammates": "teammate",
    "/storage": "folder",
}
