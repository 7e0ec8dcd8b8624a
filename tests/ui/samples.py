"""Sample data for looking at pages: an installation in which something has happened."""

from __future__ import annotations

import re
from pathlib import Path

from alloyd.principal import Principal, system_principal
from tests.app import Served
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


async def fill(served: Served) -> Sample:
    """Make some of everything in the organization `default`; ids by the kind of thing."""
    first = served.app.first_key
    assert first is not None
    assert first.issued.raw is not None
    served.keys[OWN] = first.issued.raw
    sample: Sample = {}
    for name in ("nightly import", "website", "<b>markup & more</b>"):
        sample["api_key"] = (await served.data("POST", "/api-keys", {"name": name}, status=201, key=OWN))["id"]
    await served.data("DELETE", f"/api-keys/{sample['api_key']}", key=OWN)
    await served.data("POST", "/invitations", {"email": "grace@example.com", "role": "admin"}, status=201, key=OWN)
    found = await served.data("GET", "/workflow-definitions", key=OWN)
    sample["workflow"] = found[0]["id"]
    for _ in range(12):
        body = {"workflow_definition_id": sample["workflow"], "context": {"name": "Ada"}}
        sample["run"] = (await served.data("POST", "/workflow-runs", body, status=201, key=OWN))["id"]
        await served.data("POST", f"/workflow-runs/{sample['run']}/start", status=202, key=OWN)
    return sample | await fill_embedded(served, OWN)


def paths_of(sample: Sample) -> list[str]:
    """Every page of pages.js that an address leads to: with a sample's id where one is wanted, else left out."""
    paths = re.findall(r'^  page\("([^"]+)"', PAGES.read_text(), re.MULTILINE)
    plain = [path for path in paths if ":" not in path and path != "/sign-in"]
    by_id = [(path, KINDS.get(path.partition("/:")[0])) for path in paths if ":" in path and path.count(":") == 1]
    return plain + [re.sub(r":\w+\*?", sample[kind], path) for path, kind in by_id if kind in sample]


# What the parameter of a path names, by what stands before it.
KINDS = {
    "/integrations": "integration",
    "/end-users": "end_user",
    "/connectors": "connector",
    "/teams": "team",
    "/workflows": "workflow",
    "/runs": "run",
    "/api-keys": "api_key",
}
