"""`GET /api/v1/objects/storage-usage`: who may ask, by which token, and what is told."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from alloyd.kit.ids import new_id
from tests.app import Served
from tests.people import sign_in
from tests.wire.objects.things import ask, make

USAGE = "/api/v1/objects/storage-usage"
UNAUTHORIZED = {"error": "a valid credential for this API is needed"}


async def usage(served: Served, token: str | None, query: str = "", **headers: str) -> tuple[int, Any]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        given["Authorization"] = f"Bearer {token}"
    status, body, _headers = await ask(served, f"{USAGE}{query}", headers=given)
    return status, json.loads(body)


async def test_nothing_yet(local: Served) -> None:
    ann = await sign_in(local, "ann", "acme member")
    empty = {"orgKey": "acme", "totalBytes": 0, "inputBytes": 0, "outputBytes": 0, "fileCount": 0, "breakdown": []}
    assert await usage(local, local.keys["ann"]) == (200, empty)
    assert await usage(local, local.keys["ann"], f"?createdBy={ann.id}") == (200, empty)


async def test_sums(local: Served) -> None:
    ann, bob = await sign_in(local, "ann", "acme admin"), await sign_in(local, "bob", "acme member")
    one = await local.publish({"key": "a", "operation": "workflow.noop"}, name="one")
    await make(local, b"12345", workflow_id=one, run_id="r1", started_by=ann.id)
    await make(local, b"12", workflow_id=one, run_id="r1", started_by=bob.id, direction="input")
    await make(local, b"1", started_by=ann.id)
    await make(local, b"1234", slug="other")
    whole = {
        "orgKey": "acme",
        "totalBytes": 8,
        "inputBytes": 2,
        "outputBytes": 6,
        "fileCount": 3,
        "breakdown": [{"workflowId": one, "workflowName": "one", "bytes": 7, "fileCount": 2}],
    }
    assert await usage(local, local.keys["bob"]) == (200, whole)
    bobs = {**whole, "totalBytes": 2, "outputBytes": 0, "fileCount": 1}
    bobs["breakdown"] = [{"workflowId": one, "workflowName": "one", "bytes": 2, "fileCount": 1}]
    assert await usage(local, local.keys["bob"], f"?createdBy={bob.id}") == (200, bobs)
    assert await usage(local, local.keys["ann"], f"?createdBy={bob.id.upper()}") == (200, bobs)
    status, body = await usage(local, local.keys["bob"], f"?createdBy={ann.id}")
    assert (status, set(body)) == (403, {"error"})


@pytest.mark.parametrize("wrong", ["x", "", "1", "{%s}", "urn:uuid:%s", "%s0", "null"])
async def test_created_by_is_a_uuid(local: Served, wrong: str) -> None:
    await sign_in(local, "ann", "acme admin")
    value = wrong % new_id() if "%s" in wrong else wrong
    status, body = await usage(local, local.keys["ann"], f"?createdBy={value}")
    assert (status, body["error"].partition(":")[0]) == (400, "createdBy")


async def test_where_the_token_is_looked_for(local: Served) -> None:
    await sign_in(local, "ann", "acme member")
    for given, status in (
        ({}, 401),
        ({"cookie": local.keys["ann"]}, 200),
        ({"query": local.keys["ann"]}, 200),
        ({"header": local.keys["ann"]}, 200),
        ({"cookie": local.keys["ann"], "query": "x", "header": "x"}, 200),
        ({"cookie": "x", "query": local.keys["ann"], "header": local.keys["ann"]}, 401),
        ({"query": "x", "header": local.keys["ann"]}, 401),
        ({"query": local.keys["ann"], "header": "x"}, 200),
        ({"cookie": "", "query": "", "header": local.keys["ann"]}, 200),
    ):
        headers = {"Cookie": f"other=1; token={given['cookie']}"} if "cookie" in given else {}
        headers |= {"Authorization": f"Bearer {given['header']}"} if "header" in given else {}
        params = {"token": given["query"]} if "query" in given else {}
        got, body, told = await ask(local, USAGE, headers=headers, params=params)
        assert got == status, given
        if status == 401:
            assert json.loads(body) == UNAUTHORIZED
        else:
            assert (told["Referrer-Policy"], told["Cache-Control"]) == ("no-referrer", "no-store")


async def test_no_other_credential(local: Served) -> None:
    key = await local.key("acme")
    await sign_in(local, "ann", "acme member")
    for headers in ({"Authorization": f"Bearer {key}"}, {"api-key": key}, {"Cookie": f"token={key}"}, {}):
        status, body, _headers = await ask(local, USAGE, headers=headers)
        assert (status, json.loads(body)) == (401, UNAUTHORIZED)
    local.clock.advance(40 * 24 * 3_600_000)
    assert await usage(local, local.keys["ann"]) == (401, UNAUTHORIZED)


async def test_active_organization(local: Served) -> None:
    await sign_in(local, "ann", "acme member", "other admin")
    await make(local, b"1234", slug="other")
    await local.key("third")
    assert (await usage(local, local.keys["ann"]))[1]["orgKey"] == "acme"
    status, body = await usage(local, local.keys["ann"], x_active_org="other")
    assert (status, body["orgKey"], body["totalBytes"]) == (200, "other", 4)
    assert (await usage(local, local.keys["ann"], f"?createdBy={new_id()}", x_active_org="other"))[0] == 200
    assert (await usage(local, local.keys["ann"], f"?createdBy={new_id()}"))[0] == 403
    for named in ("third", "nothing", "", local.orgs["other"]):
        assert await usage(local, local.keys["ann"], x_active_org=named) == (404, {"error": "organization not found"})
    assert await usage(local, None, x_active_org="other") == (401, UNAUTHORIZED)


async def test_a_token_in_the_query_is_never_logged(local: Served, stream: io.StringIO) -> None:
    await sign_in(local, "ann", "acme member")
    token = local.keys["ann"]
    for query in (f"?token={token}", f"?token={token}&createdBy=x", f"?token={token}x"):
        await ask(local, f"{USAGE}{query}")
        await ask(local, f"{USAGE}{query}", "POST")
    assert "createdBy" in stream.getvalue()  # it was told why
    assert token not in stream.getvalue()
    rows = await local.app.database.read(lambda conn: conn.execute("SELECT * FROM audit_log").fetchall())
    assert token not in repr(rows)
