"""`/v1/webhooks` over HTTP: what comes back, what is refused with its field, who may, and that no secret ever shows."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.config.model import WebhooksConfig
from alloyd.kit.ids import new_id
from tests.app import Served, open_app

CANARY = "whsec_canary_0123456789abcdef"
BODY: dict[str, Any] = {"url": "https://example.com/hook?key=canary-in-the-url", "events": ["order.*"]}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path, webhooks=WebhooksConfig(per_org_max=3)) as opened:
        yield opened


async def test_made_shown_changed_deleted(served: Served) -> None:
    made = await served.data("POST", "/webhooks", BODY | {"description": "Orders"}, 201)
    assert made["secret"].startswith("whsec_")
    assert len(made["secret"]) == 49
    shown = await served.data("GET", f"/webhooks/{made['id']}")
    assert shown == {key: value for key, value in made.items() if key != "secret"}
    assert (shown["enabled"], shown["events"], shown["description"]) == (True, ["order.*"], "Orders")
    assert await served.data("GET", "/webhooks") == [shown]
    served.clock.advance(1000)
    changed = await served.data(
        "PATCH", f"/webhooks/{made['id']}", {"events": ["*"], "description": None, "url": "http://example.org/"}
    )
    assert (changed["events"], changed["description"], changed["url"]) == (["*"], None, "http://example.org/")
    assert changed["updated_at"] > made["updated_at"]
    same = await served.data("PATCH", f"/webhooks/{made['id']}", {"events": ["*"]})
    assert same["updated_at"] == changed["updated_at"]
    off = await served.data("PATCH", f"/webhooks/{made['id']}", {"enabled": False})
    assert (off["enabled"], off["disabled_reason"]) == (False, "by_request")
    await served.data("POST", f"/webhooks/{made['id']}/test", status=409)
    on = await served.data("PATCH", f"/webhooks/{made['id']}", {"enabled": True})
    assert (on["enabled"], on["disabled_reason"]) == (True, None)
    tested = await served.data("POST", f"/webhooks/{made['id']}/test", status=202)
    assert (tested["kind"], tested["state"]) == ("webhook.test", "pending")
    assert await served.data("DELETE", f"/webhooks/{made['id']}") == {"id": made["id"]}
    await served.data("GET", f"/webhooks/{made['id']}", status=404)
    kinds = [kind for kind in await served.kinds() if kind.startswith("webhook.")]
    assert kinds == [
        "webhook.created",
        "webhook.updated",
        "webhook.updated",
        "webhook.disabled",
        "webhook.updated",
        "webhook.tested",
        "webhook.deleted",
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "example.com"}, "url"),
        ({"url": "https://user:pass@example.com/"}, "url"),
        ({"url": "https://exa mple.com/"}, "url"),
        ({"url": "https://127.1/"}, "url"),
        ({"url": "https://example.com/" + "x" * 2048}, "url"),
        ({"events": []}, "events"),
        ({"events": ["order.*"] * 51}, "events"),
        ({"events": ["order.*", "Order"]}, "events[1]"),
        ({"events": ["*.order"]}, "events[0]"),
        ({"events": ["order*"]}, "events[0]"),
        ({"events": [""]}, "events[0]"),
        ({"events": ["a" * 129]}, "events[0]"),
        ({"events": "order.*"}, "events"),
        ({"secret": "short"}, "secret"),
        ({"secret": "whsec_ü" + "x" * 30}, "secret"),
        ({"description": "two\nlines"}, "description"),
        ({"enabled": "yes"}, "enabled"),
        ({"url": None}, "url"),
    ],
)
async def test_bad_input_is_named(served: Served, change: dict[str, Any], field: str) -> None:
    status, envelope, _headers = await served.ask("POST", "/webhooks", BODY | change)
    assert (status, envelope["error"]["details"]) == (400, {"field": field})
    assert "short" not in envelope["error"]["message"]
    if "secret" not in change:
        made = await served.data("POST", "/webhooks", BODY, 201)
        status, envelope, _headers = await served.ask("PATCH", f"/webhooks/{made['id']}", change)
        assert (status, envelope["error"]["details"]) == (400, {"field": field})


@pytest.mark.parametrize(
    ("body", "field"), [({"grace_ms": -1}, "grace_ms"), ({"grace_ms": 2**40}, "grace_ms"), ({"secret": "x"}, "secret")]
)
async def test_rotation_is_bounded(served: Served, body: dict[str, Any], field: str) -> None:
    made = await served.data("POST", "/webhooks", BODY, 201)
    status, envelope, _headers = await served.ask("POST", f"/webhooks/{made['id']}/rotate-secret", body)
    assert (status, envelope["error"]["details"]) == (400, {"field": field})


async def test_organization_has_so_many_and_no_more(served: Served) -> None:
    for _ in range(3):
        await served.data("POST", "/webhooks", BODY, 201)
    await served.data("POST", "/webhooks", BODY, 409)
    await served.data("POST", "/webhooks", BODY, 201, key="other")


async def test_same_request_again_makes_one_and_tells_no_secret(served: Served) -> None:
    body = BODY | {"secret": CANARY, "idempotency_key": "k1"}
    first = await served.data("POST", "/webhooks", body, 201)
    again = await served.data("POST", "/webhooks", body, 201)
    assert (first["secret"], again["secret"]) == (CANARY, None)
    assert again["id"] == first["id"]
    await served.data("POST", "/webhooks", body | {"url": "https://example.org/"}, 409)


@pytest.mark.parametrize(
    ("role", "reads", "writes"), [("viewer", 403, 403), ("member", 200, 403), ("admin", 200, 201), ("owner", 200, 201)]
)
async def test_roles(served: Served, role: str, reads: int, writes: int) -> None:
    assert (await served.ask("GET", "/webhooks", key=f"acme {role}"))[0] == reads
    assert (await served.ask("POST", "/webhooks", BODY, key=f"acme {role}"))[0] == writes


async def test_other_organizations_webhooks_are_not_there(served: Served) -> None:
    made = await served.data("POST", "/webhooks", BODY, 201)
    tested = await served.data("POST", f"/webhooks/{made['id']}/test", status=202)
    for method, path in (
        ("GET", f"/webhooks/{made['id']}"),
        ("PATCH", f"/webhooks/{made['id']}"),
        ("DELETE", f"/webhooks/{made['id']}"),
        ("POST", f"/webhooks/{made['id']}/rotate-secret"),
        ("POST", f"/webhooks/{made['id']}/test"),
        ("GET", f"/webhooks/{made['id']}/deliveries"),
        ("GET", f"/webhook-deliveries/{tested['id']}"),
        ("POST", f"/webhook-deliveries/{tested['id']}/redeliver"),
        ("GET", f"/webhooks/{new_id()}"),
    ):
        status, envelope, _headers = await served.ask(method, path, key="other")
        assert (status, envelope["data"]) == (404, None), path
    assert await served.data("GET", "/webhooks", key="other") == []


async def test_secret_shows_nowhere(served: Served, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Not in an answer but the two that tell it, not in an event, the audit trail, the log, or a file."""
    caplog.set_level(logging.DEBUG)
    made = await served.data("POST", "/webhooks", BODY | {"secret": CANARY}, 201)
    rotated = await served.data("POST", f"/webhooks/{made['id']}/rotate-secret", {"secret": f"{CANARY}_2"})
    assert rotated["secret"] == f"{CANARY}_2"
    answers = [
        await served.ask("GET", "/webhooks"),
        await served.ask("GET", f"/webhooks/{made['id']}"),
        await served.ask("PATCH", f"/webhooks/{made['id']}", {"description": "x"}),
        await served.ask("POST", f"/webhooks/{made['id']}/test"),
        await served.ask("GET", f"/webhooks/{made['id']}/deliveries"),
        await served.ask("GET", f"/organizations/{served.orgs['acme']}/audit-logs"),
        await served.ask("DELETE", f"/webhooks/{made['id']}"),
    ]
    assert "canary_0123" not in repr([(status, envelope) for status, envelope, _headers in answers])
    assert "canary_0123" not in caplog.text
    assert "canary-in-the-url" not in caplog.text
    events = await served.app.database.read(lambda conn: conn.execute("SELECT payload FROM events").fetchall())
    assert "canary" not in repr(events)
    await served.app.database.checkpoint()
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("alloyd.db*"))
    assert b"canary_0123" not in stored
