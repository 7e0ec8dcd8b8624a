"""The files of runs over the control plane: their list, their bytes by id, and what all files take."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.kit.ids import new_id
from tests.app import Served, open_app
from tests.wire.objects.things import CONTENT, make


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


async def read(served: Served, object_id: str, key: str = "acme", **headers: str) -> tuple[int, bytes, Any]:
    given = {"Authorization": f"Bearer {await served.key(key)}", **headers}
    url = f"{served.url}/v1/objects/{object_id}/content"
    async with served.session.get(url, headers=given) as response:
        return response.status, await response.read(), response.headers


async def test_list_is_newest_first_paged_and_tells_no_key(served: Served) -> None:
    run_id = new_id()
    first = await make(served, filename="<b>.txt", run_id=run_id)
    second = await make(served, b"x", direction="input")
    await make(served, slug="other")
    page = await served.ask("GET", "/objects?limit=1", key="acme viewer")
    assert [one["id"] for one in page[1]["data"]] == [second.id]
    (last,) = await served.data("GET", page[1]["links"]["next"].removeprefix("/v1"))
    assert last == {
        "id": first.id,
        "organization_id": served.orgs["acme"],
        "filename": "<b>.txt",
        "content_type": "text/plain",
        "size_bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "direction": "output",
        "workflow_id": None,
        "workflow_run_id": run_id,
        "created_by": None,
        "created_at": "2026-01-01T00:00:00.000Z",
    }
    assert await served.data("GET", f"/objects?workflow_run_id={run_id}") == [last]
    assert await served.data("GET", f"/objects?workflow_run_id={new_id()}") == []


async def test_content_by_id_for_the_organization_only(served: Served) -> None:
    stored = await make(served, filename="page.html")
    status, body, headers = await read(served, stored.id, "acme viewer")
    assert (status, body) == (200, CONTENT)
    assert headers["Content-Disposition"].startswith("attachment")
    assert (await read(served, stored.id, Range="bytes=2-3"))[:2] == (206, CONTENT[2:4])
    assert (await read(served, stored.id, Range="bytes=99999-"))[0] == 416
    assert (await read(served, stored.id, "other"))[0] == 404
    assert (await read(served, new_id()))[0] == 404


async def test_usage_sums_files_of_storage_and_of_runs(served: Served) -> None:
    workflow_id = await served.publish({"key": "a", "operation": "test.ask"})
    await make(served, b"12345", workflow_id=workflow_id)
    await make(served, b"123", direction="input")
    await served.data("POST", "/assets?filename=a.bin", b"1234567", 201)
    assert await served.data("GET", "/storage-usage", key="acme viewer") == {
        "organization_id": served.orgs["acme"],
        "disk": {"size_bytes": 15, "files": 3},
        "objects": {
            "size_bytes": 8,
            "files": 2,
            "input_bytes": 3,
            "output_bytes": 5,
            "by_workflow": [{"size_bytes": 5, "files": 1, "workflow_id": workflow_id, "workflow_name": "flow"}],
        },
        "upload_bytes_max": served.app.storage.settings.upload_bytes_max,
    }
