from __future__ import annotations

from pathlib import Path

from alloyd.kit.clock import rfc3339
from tests.identity import bearer, open_world, public_server, serve


async def test_own_organization_and_no_other(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, serve(public_server(world)) as client:
        mine, theirs = await world.make_org("mine"), await world.make_org("theirs")
        headers = bearer(await world.issue(mine, ["organizations:read"]))
        async with client.get(f"/v1/organizations/{mine.id}", headers=headers) as response:
            assert response.status == 200
            made = rfc3339(mine.created_at)
            assert (await response.json())["data"] == {
                "id": mine.id,
                "slug": "mine",
                "name": "Mine",
                "created_at": made,
                "updated_at": made,
                "archived_at": None,
            }
        for id_ in (theirs.id, "theirs", "mine"):
            async with client.get(f"/v1/organizations/{id_}", headers=headers) as response:
                assert response.status == 404
                assert (await response.json())["error"] == {"code": "not_found", "message": "organization not found"}
