"""Events on their way: signed, tried again over a day, given up, sent once more; refused addresses; ended webhooks."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from aiohttp import web

from alloyd.domain.webhooks.model import SNIPPET_BYTES
from alloyd.kit.signatures import BadSignatureError, verify
from tests.domain.webhooks.conftest import LONG_S, Scene

HOUR_MS = 3_600_000


def signed_by(scene: Scene, secret: str, number: int = -1) -> bool:
    headers, body = scene.receiver.got[number]
    try:
        verify("alloyd", secret, headers, body, scene.served.clock.now_ms())
    except BadSignatureError:
        return False
    return True


async def test_event_arrives_signed_and_bare(scene: Scene) -> None:
    webhook = await scene.make("order.*", "user.created")
    for kind in ("order.paid", "orders.paid", "order", "user.created", "user.deleted"):
        await scene.tell(kind)
    await scene.settle()
    events = [msgspec.json.decode(body) for _headers, body in scene.receiver.got]
    assert sorted(event["kind"] for event in events) == ["order.paid", "user.created"]
    paid = next(event for event in events if event["kind"] == "order.paid")
    assert set(paid) == {"id", "kind", "organization_id", "subject", "payload", "timestamp"}
    assert paid["payload"] == {"amount": 5}
    assert signed_by(scene, webhook["secret"])
    headers, _body = scene.receiver.got[0]
    listed = await scene.deliveries(webhook["id"])
    assert headers["x-alloyd-delivery"] in {one["id"] for one in listed}
    assert headers["x-alloyd-event"] in ("order.paid", "user.created")
    assert headers["content-type"] == "application/json"
    assert [one["state"] for one in listed] == ["delivered", "delivered"]
    (attempt,) = listed[0]["attempts"]
    assert (attempt["attempt"], attempt["status"], attempt["error"], attempt["response"]) == (1, 200, None, "said 200")
    detail = await scene.served.data("GET", f"/webhook-deliveries/{listed[0]['id']}")
    assert detail["body"] in events


async def test_other_organizations_events_stay_there(scene: Scene) -> None:
    mine = await scene.make("*")
    theirs = await scene.make("order.*", key="other")
    await scene.tell("order.paid", slug="other")
    await scene.settle()
    assert [one["kind"] for one in await scene.deliveries(theirs["id"], key="other")] == ["order.paid"]
    assert "order.paid" not in {one["kind"] for one in await scene.deliveries(mine["id"])}


async def test_failures_are_tried_again_over_about_a_day(scene: Scene) -> None:
    scene.served.app.webhook_sender._chance = lambda: 0.5
    scene.receiver.answers = [500]
    webhook = await scene.make("order.paid")
    begin = scene.served.clock.now_ms()
    await scene.tell()
    await scene.settle()
    waits = []
    for _ in range(14):
        (delivery,) = await scene.deliveries(webhook["id"])
        assert delivery["state"] == "pending"
        got = len(scene.receiver.got)
        wait = waits_of(delivery)
        waits.append(wait)
        await scene.later(wait - 1)
        assert len(scene.receiver.got) == got  # not a moment early
        await scene.later(1)
        assert len(scene.receiver.got) == got + 1
    assert waits[:4] == [10_000, 20_000, 40_000, 80_000]
    assert max(waits) == waits[-1] == 6 * HOUR_MS
    assert 20 * HOUR_MS < scene.served.clock.now_ms() - begin < 30 * HOUR_MS
    (delivery,) = await scene.deliveries(webhook["id"])
    assert (delivery["state"], delivery["attempt_count"], delivery["next_attempt_at"]) == ("failed", 15, None)
    assert {headers["x-alloyd-delivery"] for headers, _body in scene.receiver.got} == {delivery["id"]}
    assert signed_by(scene, webhook["secret"])  # with the time of this attempt, not of the first


def waits_of(delivery: dict[str, Any]) -> int:
    """From the last attempt to the next, in ms."""
    from alloyd.kit.clock import parse_rfc3339

    return parse_rfc3339(delivery["next_attempt_at"]) - parse_rfc3339(delivery["attempts"][-1]["at"])


async def _drop(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _cut_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=500, headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"half")
    assert request.transport is not None
    request.transport.close()
    return response


async def _redirect(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/elsewhere"})


async def _long(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=500, body=b"\xff" + b"x" * 100_000)


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (500, 500, "answered with status 500"),
        (404, 404, "answered with status 404"),
        (301, 301, "answered with status 301"),
        (_redirect, 307, "answered with status 307"),
        (_cut_off, 500, "answered with status 500"),
        (_drop, None, "closed the connection"),
        (_long, 500, "answered with status 500"),
    ],
)
async def test_every_failure_is_told_and_passes(scene: Scene, answer: Any, status: int | None, says: str) -> None:
    scene.receiver.answers = [answer, 204]
    webhook = await scene.make("order.paid")
    await scene.tell()
    await scene.settle()
    (delivery,) = await scene.deliveries(webhook["id"])
    (attempt,) = delivery["attempts"]
    assert (delivery["state"], attempt["status"]) == ("pending", status)
    assert says in attempt["error"]
    assert len((attempt["response"] or "").encode()) <= SNIPPET_BYTES + 3
    shown = await scene.served.data("GET", f"/webhooks/{webhook['id']}")
    assert shown["failing_since"] is not None
    await scene.later(HOUR_MS)
    (delivery,) = await scene.deliveries(webhook["id"])
    assert (delivery["state"], delivery["attempt_count"]) == ("delivered", 2)
    shown = await scene.served.data("GET", f"/webhooks/{webhook['id']}")
    assert shown["failing_since"] is None


async def test_nobody_listening_is_tried_again(scene: Scene) -> None:
    webhook = await scene.make("order.paid", url="http://127.0.0.1:9/")
    await scene.tell()
    await scene.settle()
    (delivery,) = await scene.deliveries(webhook["id"])
    assert delivery["state"] == "pending"
    assert "127.0.0.1:9" in delivery["attempts"][0]["error"]


async def test_retry_after_is_kept(scene: Scene) -> None:
    async def busy(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": "7200"})

    scene.receiver.answers = [busy, 200]
    webhook = await scene.make("order.paid")
    await scene.tell()
    await scene.settle()
    (delivery,) = await scene.deliveries(webhook["id"])
    assert waits_of(delivery) == 7_200_000
    await scene.later(7_200_000)
    assert (await scene.deliveries(webhook["id"]))[0]["state"] == "delivered"


async def test_gone_disables_at_once(scene: Scene) -> None:
    scene.receiver.answers = [410]
    webhook = await scene.make("order.*")
    await scene.tell("order.paid")
    await scene.settle()
    await scene.tell("order.sent")
    await scene.settle()
    (delivery,) = await scene.deliveries(webhook["id"])
    assert (delivery["kind"], delivery["state"]) == ("order.paid", "failed")
    shown = await scene.served.data("GET", f"/webhooks/{webhook['id']}")
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "gone")
    assert "webhook.disabled" in await scene.served.kinds()


async def test_only_failures_for_long_disable(scene: Scene) -> None:
    scene.served.app.webhook_sender._chance = lambda: 0.0
    scene.receiver.answers = [500]
    webhook = await scene.make("order.*")
    await scene.tell()
    await scene.settle()
    for _ in range(14):
        await scene.later(5 * HOUR_MS)
    shown = await scene.served.data("GET", f"/webhooks/{webhook['id']}")
    assert shown["enabled"]  # a delivery has failed for good, but three days are not over
    scene.served.clock.advance(2 * HOUR_MS)
    await scene.tell("order.sent")
    await scene.settle()
    shown = await scene.served.data("GET", f"/webhooks/{webhook['id']}")
    assert (shown["enabled"], shown["disabled_reason"], shown["failing_since"]) == (False, "failing", None)
    states = {one["kind"]: one["state"] for one in await scene.deliveries(webhook["id"])}
    assert states == {"order.paid": "failed", "order.sent": "cancelled"}
    scene.receiver.answers = [200]
    await scene.served.data("PATCH", f"/webhooks/{webhook['id']}", {"enabled": True})
    await scene.tell("order.closed")
    await scene.settle()
    assert (await scene.deliveries(webhook["id"]))[0]["state"] == "delivered"


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest", "http://10.0.0.1/", "http://[::ffff:10.0.0.1]/", "http://localhost:1/"]
)
async def test_address_inside_is_refused_and_not_tried_again(scene: Scene, url: str) -> None:
    webhook = await scene.make("order.paid", url=url)
    await scene.tell()
    await scene.settle()
    (delivery,) = await scene.deliveries(webhook["id"])
    if "localhost" not in url or delivery["state"] == "failed":  # localhost may be 127.0.0.1 alone, which is open here
        assert delivery["state"] == "failed"
        assert "not allowed" in delivery["attempts"][0]["error"]
        assert delivery["attempt_count"] == 1


async def test_redelivery_is_the_same_delivery(scene: Scene) -> None:
    scene.receiver.answers = [410]
    webhook = await scene.make("order.paid")
    await scene.tell()
    await scene.settle()
    (delivery,) = await scene.deliveries(webhook["id"])
    await scene.served.data("POST", f"/webhook-deliveries/{delivery['id']}/redeliver", status=409)  # disabled
    await scene.served.data("PATCH", f"/webhooks/{webhook['id']}", {"enabled": True})
    scene.receiver.answers = [200]
    again = await scene.served.data("POST", f"/webhook-deliveries/{delivery['id']}/redeliver", status=202)
    assert (again["id"], again["state"]) == (delivery["id"], "pending")
    await scene.settle()
    (delivery,) = await scene.deliveries(webhook["id"])
    assert (delivery["state"], [one["status"] for one in delivery["attempts"]]) == ("delivered", [410, 200])
    first, second = scene.receiver.got[0], scene.receiver.got[-1]
    assert first[0]["x-alloyd-delivery"] == second[0]["x-alloyd-delivery"]
    assert first[1] == second[1]
    await scene.served.data("DELETE", f"/webhooks/{webhook['id']}")
    await scene.served.data("POST", f"/webhook-deliveries/{delivery['id']}/redeliver", status=409)


async def test_rotation_signs_with_both_until_grace_ends(scene: Scene) -> None:
    webhook = await scene.make("order.paid")
    rotated = await scene.served.data("POST", f"/webhooks/{webhook['id']}/rotate-secret", {"grace_ms": 60_000})
    assert rotated["secret"] != webhook["secret"]
    await scene.tell()
    await scene.settle()
    assert [signed_by(scene, one["secret"]) for one in (webhook, rotated)] == [True, True]
    assert scene.receiver.got[-1][0]["x-alloyd-signature"].count("v1=") == 2
    scene.served.clock.advance(60_000)
    await scene.tell()
    await scene.settle()
    assert [signed_by(scene, one["secret"]) for one in (webhook, rotated)] == [False, True]
    again = await scene.served.data("POST", f"/webhooks/{webhook['id']}/rotate-secret", {"grace_ms": 0})
    assert again["former_secret_until"] is None
    await scene.tell()
    await scene.settle()
    assert [signed_by(scene, one["secret"]) for one in (rotated, again)] == [False, True]


async def test_deleting_and_disabling_cancel_what_is_pending(scene: Scene) -> None:
    scene.receiver.answers = [500]
    doomed, stopped = await scene.make("order.paid"), await scene.make("order.paid")
    await scene.tell()
    await scene.settle()
    (gone,) = await scene.deliveries(doomed["id"])
    await scene.served.data("DELETE", f"/webhooks/{doomed['id']}")
    await scene.served.data("PATCH", f"/webhooks/{stopped['id']}", {"enabled": False})
    got = len(scene.receiver.got)
    await scene.tell()
    await scene.later(24 * HOUR_MS)
    assert len(scene.receiver.got) == got
    assert (await scene.served.data("GET", f"/webhook-deliveries/{gone['id']}"))["state"] == "cancelled"
    assert [one["state"] for one in await scene.deliveries(stopped["id"])] == ["cancelled"]
    await scene.served.data("GET", f"/webhooks/{doomed['id']}/deliveries", status=404)


async def test_archived_organizations_webhooks_stop(scene: Scene) -> None:
    scene.receiver.answers = [500]
    webhook = await scene.make("*")
    await scene.tell()
    await scene.settle()
    got = len(scene.receiver.got)
    org_id = (await scene.served.principal()).org_id
    await scene.served.app.orgs.archive(org_id)
    await scene.later(24 * HOUR_MS)
    assert len(scene.receiver.got) == got
    stored = await scene.served.app.webhooks.get(await scene.served.principal(), webhook["id"])
    assert (stored.enabled, stored.disabled_reason) == (False, "archived")


async def test_one_slow_webhook_does_not_hold_up_another(scene: Scene) -> None:
    release = asyncio.Event()
    begun = asyncio.Semaphore(0)

    async def slow(_request: web.Request) -> web.StreamResponse:
        begun.release()
        await release.wait()
        return web.Response()

    scene.receiver.answers = [slow]
    stuck = await scene.make("stuck.*")
    for _ in range(10):
        await scene.tell("stuck.now")
    async with asyncio.timeout(LONG_S):
        await scene.served.app.webhook_events.settle()
        for _ in range(4):
            await begun.acquire()
    assert scene.served.app.webhook_sender.sending_count == 4  # webhooks.sending_per_webhook_max
    scene.receiver.answers = [200]
    quick = await scene.make("order.*")
    await scene.tell()
    async with asyncio.timeout(LONG_S):
        while (await scene.deliveries(quick["id"]) or [{"state": ""}])[0]["state"] != "delivered":
            await asyncio.sleep(0)
    assert scene.served.app.webhook_sender.sending_count == 4
    release.set()
    await scene.settle()
    assert {one["state"] for one in await scene.deliveries(stuck["id"])} == {"delivered"}
    assert len(await scene.deliveries(stuck["id"])) == 10


async def test_a_webhook_far_behind_is_disabled(scene: Scene) -> None:
    from dataclasses import replace

    webhooks = scene.served.app.webhooks
    bounds = webhooks._settings()
    webhooks._settings = lambda: replace(bounds, pending_max=3)
    scene.receiver.answers = [500]
    webhook = await scene.make("order.*")
    for _ in range(4):
        await scene.tell()
        await scene.settle()
    shown = await scene.served.data("GET", f"/webhooks/{webhook['id']}")
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "backlog")
    assert {one["state"] for one in await scene.deliveries(webhook["id"])} == {"cancelled"}


async def test_list_is_paged_and_filtered(scene: Scene) -> None:
    webhook = await scene.make("order.*")
    for kind in ("order.a", "order.b", "order.c"):
        await scene.tell(kind)
    await scene.settle()
    _status, envelope, _headers = await scene.served.ask("GET", f"/webhooks/{webhook['id']}/deliveries?limit=2")
    kinds = [one["kind"] for one in envelope["data"]]
    rest = await scene.served.data("GET", scene.served.url + envelope["links"]["next"])
    assert sorted(kinds + [one["kind"] for one in rest]) == ["order.a", "order.b", "order.c"]
    assert [one["kind"] for one in await scene.deliveries(webhook["id"], "?kind=order.b")] == ["order.b"]
    assert await scene.deliveries(webhook["id"], "?state=failed") == []
    event_id = rest[0]["event_id"]
    assert [one["id"] for one in await scene.deliveries(webhook["id"], f"?event_id={event_id}")] == [rest[0]["id"]]
    await scene.served.data("GET", f"/webhooks/{webhook['id']}/deliveries?state=nonsense", status=400)


async def test_retention_takes_ended_deliveries(scene: Scene) -> None:
    scene.receiver.answers = [200, 500]
    webhook = await scene.make("order.*")
    await scene.tell("order.sent")
    await scene.settle()
    await scene.later(31 * 24 * HOUR_MS)
    await scene.tell("order.paid")
    await scene.settle()
    swept = await scene.served.app.retention.sweep()
    assert swept.webhook_deliveries == 1
    assert [one["kind"] for one in await scene.deliveries(webhook["id"])] == ["order.paid"]
