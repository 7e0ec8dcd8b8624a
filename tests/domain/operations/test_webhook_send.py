"""webhook.send against a real server on loopback."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from aiohttp import web

from alloyd.domain.operations.catalogue import get_operation
from alloyd.domain.operations.model import OperationError, Services
from alloyd.domain.operations.validation import check_config
from alloyd.domain.webhooks.model import Destination
from alloyd.errors import conflict, not_found
from alloyd.kit.signatures import verify
from alloyd.principal import Principal

SEND = get_operation("webhook.send")
SECRET = "canary-secret-0123456789"
NOW_MS = 1_767_225_600_000


class Webhooks:
    """Stands for domain/webhooks."""

    def __init__(self, known: dict[str, Any]) -> None:
        self._known = known

    async def get_destination(self, principal: Principal, webhook_id: str) -> Destination:
        assert principal.org_id == "org"
        found = self._known.get(webhook_id, not_found("webhook"))
        if isinstance(found, Exception):
            raise found
        return found


async def _ok(_request: web.Request) -> web.Response:
    return web.json_response({"taken": True}, status=202)


async def test_signed_and_named(run, serve, services):
    site = await serve(_ok)
    config = {
        "url": f"{site.url}/hook",
        "secret": SECRET,
        "payload": {"order": 7},
        "event": "order.paid",
        "headers": {"X-Tenant": 5},
    }
    done = await run(SEND, config)
    ((request, body),) = site.seen
    assert body == b'{"order":7}'
    headers = {name.lower(): value for name, value in request.headers.items()}
    signed = verify("alloyd", SECRET, headers, body, NOW_MS)
    assert signed.delivery_id == headers["idempotency-key"] == "run-1:step"
    assert (headers["x-alloyd-event"], headers["x-tenant"]) == ("order.paid", "5")
    assert headers["content-type"] == "application/json"
    output = done.output
    assert (output["status"], output["body"], output["delivery_id"]) == (202, {"taken": True}, "run-1:step")
    assert SECRET not in repr(output)


async def test_a_webhooks_secrets_sign(run, serve, services: Services):
    site = await serve(_ok)
    known = {"w-1": Destination(site.url, (SECRET, "former-0123456789")), "w-2": conflict("the webhook is disabled")}
    given = dataclasses.replace(services, webhooks=Webhooks(known))
    await run(SEND, {"webhook": "w-1", "payload": [1]}, services=given)
    ((request, body),) = site.seen
    headers = {name.lower(): value for name, value in request.headers.items()}
    for secret in (SECRET, "former-0123456789"):
        assert verify("alloyd", secret, headers, body, NOW_MS)
    for webhook, code in (("w-2", "conflict"), ("w-3", "not_found")):
        with pytest.raises(OperationError) as caught:
            await run(SEND, {"webhook": webhook}, services=given)
        assert (caught.value.code, caught.value.path, caught.value.retryable) == (code, "webhook", False)


@pytest.mark.parametrize(
    ("status", "retryable"), [(301, False), (400, False), (410, False), (429, True), (500, True), (503, True)]
)
async def test_statuses(run, serve, status, retryable):
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "3", "Location": "/x"}, text="no" * 10_000)

    site = await serve(answer)
    with pytest.raises(OperationError) as caught:
        await run(SEND, {"url": site.url, "secret": SECRET})
    error = caught.value
    assert (error.code, error.retryable, error.retry_after_ms) == (
        "http_status",
        retryable,
        3000 if retryable else None,
    )
    assert error.details["status"] == status
    assert len(error.details["body"]) == 4096
    assert len(site.seen) == 1
    assert SECRET not in repr((error.message, error.details))


@pytest.mark.parametrize(
    ("url", "code", "path"),
    [
        ("http://10.0.0.1/", "http_refused", "url"),
        ("http://169.254.169.254/", "http_refused", "url"),
        ("http://127.0.0.1:9/", "http_connect", "url"),
        ("http://user@127.0.0.1/", "http_refused", "url"),
    ],
)
async def test_what_is_not_reached(run, url, code, path):
    with pytest.raises(OperationError) as caught:
        await run(SEND, {"url": url, "secret": SECRET})
    assert (caught.value.code, caught.value.path) == (code, path)
    assert caught.value.retryable == (code == "http_connect")


async def test_answer_that_does_not_fit(run, serve):
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="x" * 5000)

    site = await serve(answer)
    with pytest.raises(OperationError) as caught:
        await run(SEND, {"url": site.url, "secret": SECRET})
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({"url": "https://example.com/", "secret": "x"}, set()),
        ({"webhook": "w-1"}, set()),
        ({"url": "{{ trigger.url }}", "secret": "{{ context.secret }}"}, set()),
        ({}, {"url", "secret"}),
        ({"url": "https://example.com/"}, {"secret"}),
        ({"url": "https://example.com/", "secret": ""}, {"secret"}),
        ({"url": "ftp://example.com/", "secret": "x"}, {"url"}),
        ({"webhook": "w-1", "secret": "x"}, {"secret"}),
        ({"webhook": "w-1", "headers": {"X-Alloyd-Signature": "t=1"}}, {"headers.X-Alloyd-Signature"}),
        ({"webhook": "w-1", "headers": {"idempotency-key": "mine"}}, {"headers.idempotency-key"}),
    ],
)
def test_publishing_tells_faults(config, paths):
    assert {fault.path for fault in check_config(SEND, config)} == paths
