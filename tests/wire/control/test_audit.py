"""`/v1/organizations/{id}/audit-logs` and `/v1/audit-logs`: who may read them, and what of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from alloyd.domain.users.service import CreateUser
from alloyd.kit.clock import rfc3339
from alloyd.principal import Role
from tests.app import Served, open_app
from tests.people import PASSWORD, sign_in

FIELDS = {
    "id",
    "seq",
    "organization_id",
    "actor",
    "action",
    "target",
    "outcome",
    "status",
    "changed",
    "count",
    "route",
    "ip",
    "request_id",
    "hash",
    "timestamp",
}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        await served.key("acme")
        yield served


async def path_of(served: Served, slug: str = "acme", query: str = "") -> str:
    await served.key(slug)
    return f"/organizations/{served.orgs[slug]}/audit-logs{query}"


async def make_keys(served: Served, count: int, key: str = "acme") -> list[str]:
    made = [await served.data("POST", "/api-keys", {"name": f"k{n}"}, status=201, key=key) for n in range(count)]
    return [f"api_key:{one['id']}" for one in made]


async def test_a_row_on_the_wire(served: Served) -> None:
    await served.ask("POST", "/api-keys", {"name": "n", "description": "d"})
    (row,) = await served.data("GET", await path_of(served))
    assert set(row) == FIELDS
    assert (row["id"], row["organization_id"]) == (str(row["seq"]), served.orgs["acme"])
    assert row["actor"]["kind"] == "api_key"
    assert (row["action"], row["outcome"], row["status"], row["count"]) == ("api_key.create", "ok", 201, 1)
    assert row["changed"] == ["name", "description"]
    assert (row["route"], row["ip"]) == ("POST /v1/api-keys", "127.0.0.1")
    assert len(row["hash"]) == 64
    assert row["timestamp"] == rfc3339(served.clock.now_ms())


async def test_pages_newest_first(served: Served) -> None:
    targets = await make_keys(served, 5)
    path, found, sizes = await path_of(served, query="?limit=2"), [], []
    while path:
        status, envelope, _headers = await served.ask("GET", path)
        assert status == 200
        sizes.append(len(envelope["data"]))
        found += [row["target"] for row in envelope["data"]]
        path = envelope["links"].get("next", "").removeprefix("/v1")
    assert found == targets[::-1]
    assert sizes == [2, 2, 1]


async def test_filters(served: Served) -> None:
    await make_keys(served, 1)
    served.clock.advance(60_000)
    noon = rfc3339(served.clock.now_ms())
    await served.data("POST", "/teams", {"slug": "team-t", "name": "T"}, status=201, key="acme admin")
    await served.ask("POST", "/teams", {"slug": "team-u", "name": "U"}, key="acme viewer")
    await served.app.audit.write_refusals()

    async def actions(query: str) -> list[str]:
        return [row["action"] for row in await served.data("GET", await path_of(served, query=query))]

    viewer = (await served.data("GET", await path_of(served, query="?outcome=refused")))[0]["actor"]["id"]
    assert await actions("") == ["team.create", "team.create", "api_key.create"]
    assert await actions("?action=api_key.*") == ["api_key.create"]
    assert await actions("?action=team.create&outcome=ok") == ["team.create"]
    assert await actions(f"?actor={viewer}") == ["team.create"]
    assert await actions(f"?from={noon}") == ["team.create", "team.create"]
    assert await actions(f"?to={noon}") == ["api_key.create"]
    assert await actions("?target=team:none") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?outcome=bad", "outcome"),
        ("?from=yesterday", "from"),
        ("?from=2026-01-01T00:00:00", "from"),
        ("?to=noon", "to"),
        ("?action=", "action"),
        ("?limit=0", "limit"),
        ("?limit=201", "limit"),
        ("?cursor=x", "cursor"),
        (f"?actor={'a' * 1025}", "actor"),
    ],
)
async def test_bad_input_is_named(served: Served, query: str, field: str) -> None:
    status, envelope, _headers = await served.ask("GET", await path_of(served, query=query))
    assert status == 400
    assert envelope["error"]["details"] == {"field": field}


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("member", 403), ("admin", 200), ("owner", 200)])
async def test_roles(served: Served, role: str, status: int) -> None:
    got, _envelope, _headers = await served.ask("GET", await path_of(served), key=f"acme {role}")
    assert got == status


async def test_other_organizations_rows_are_not_there(served: Served) -> None:
    await make_keys(served, 1, "other")
    theirs = await served.ask("GET", await path_of(served, "other"))
    nowhere = await served.ask("GET", "/organizations/nowhere/audit-logs")
    assert theirs[0] == nowhere[0] == 404
    assert theirs[1]["error"] == nowhere[1]["error"]
    assert await served.data("GET", await path_of(served)) == []


async def test_a_user_of_several_reads_where_they_are_admin(served: Served) -> None:
    await sign_in(served, "ann", "acme viewer", "other admin")
    assert (await served.ask("GET", await path_of(served, "other"), key="ann"))[0] == 200
    assert (await served.ask("GET", await path_of(served, "acme"), key="ann"))[0] == 403


async def test_the_whole_log_is_for_administrators_of_the_installation(served: Served) -> None:
    new = CreateUser("root@example.com", PASSWORD, "acme", Role.VIEWER, platform_admin=True)
    user = await served.app.users.create(new)
    served.keys["root"] = (await served.app.sessions.issue(user.id, None, None)).token
    await sign_in(served, "ann", "acme owner")
    await make_keys(served, 1, "other")
    await served.ask("GET", "/api-keys", key=None)
    await served.app.audit.write_refusals()
    for name in ("acme", "ann"):
        assert (await served.ask("GET", "/audit-logs", key=name))[0] == 403
    found = await served.data("GET", "/audit-logs", key="root")
    assert {"api_key.create", "api_key.read"} <= {row["action"] for row in found}
    refused = found[0]
    assert (refused["outcome"], refused["organization_id"], refused["actor"]["kind"]) == ("refused", None, "anonymous")
    seqs = [row["seq"] for row in found]
    assert seqs == list(range(seqs[0], 0, -1))


async def test_the_operator_reads_the_whole_log(served: Served) -> None:
    await make_keys(served, 1)
    await served.app.listen_socket()
    connector = aiohttp.UnixConnector(str(served.app.data_dir.socket))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get("http://alloyd/v1/audit-logs?limit=1") as response,
    ):
        body: Any = await response.json()
    assert [row["action"] for row in body["data"]] == ["api_key.create"]
