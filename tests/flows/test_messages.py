"""A signed request comes in, a workflow sends a signed body and an e-mail, and the event of its end goes out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from alloyd.config.model import EgressConfig, EmailConfig
from alloyd.config.secret import Secret
from alloyd.kit.signatures import signature_header, verify
from tests.app import Served, open_app
from tests.domain.webhooks.conftest import LONG_S, Receiver, open_receiver
from tests.mailserver import open_mail_server

SECRET = "whsec_0123456789abcdef"
OPEN = EgressConfig(allow=("127.0.0.1/32",))


def mail_to(port: int) -> EmailConfig:
    return EmailConfig(host="127.0.0.1", port=port, security="none", from_address="Shop <shop@example.com>")


async def run_of_hook(served: Served, nodes: list[dict[str, Any]]) -> Any:
    """The run that an incoming webhook started, at its end."""
    workflow_id = await served.publish(*nodes, trigger={"type": "webhook", "secret": SECRET})
    body = b'{"email": "ann@example.com"}'
    at_s = served.clock.now_ms() // 1000
    headers = {
        "X-Alloyd-Signature": signature_header((SECRET,), at_s, body),
        "Content-Type": "application/json",
    }
    run = await served.data("POST", f"/hooks/{workflow_id}", body, 202, key=None, headers=headers)
    await served.app.runs.wait(await served.principal(), run["run_id"], LONG_S)
    return await served.data("GET", f"/workflow-runs/{run['run_id']}")


def signed_to(receiver: Receiver, number: int, served: Served) -> Any:
    headers, body = receiver.got[number]
    verify("alloyd", SECRET, headers, body, served.clock.now_ms())
    return msgspec.json.decode(body)


async def test_in_through_and_out(tmp_path: Path) -> None:
    async with (
        open_receiver() as receiver,
        open_mail_server() as mail,
        open_app(tmp_path, egress=OPEN, email=mail_to(mail.port)) as served,
    ):
        body = {"url": receiver.url(), "events": ["workflow.run.completed"], "secret": SECRET}
        webhook = await served.data("POST", "/webhooks", body, 201)
        send = {"webhook": webhook["id"], "payload": {"for": "{{ trigger.body.email }}"}}
        mailed = {"to": "{{ trigger.body.email }}", "subject": "Hello", "text": "Sent: {{ steps.send.output.status }}"}
        run = await run_of_hook(
            served,
            [
                {"key": "send", "operation": "webhook.send", "config": send},
                {"key": "mail", "operation": "email.send", "config": mailed, "depends_on": ["send"]},
            ],
        )
        assert run["status"] == "completed", [step["error"] for step in run["steps"]]
        async with asyncio.timeout(LONG_S):
            await served.app.webhook_events.settle()
            await served.app.webhook_sender.settle()
        assert signed_to(receiver, 0, served) == {"for": "ann@example.com"}
        told = signed_to(receiver, 1, served)
        assert (told["kind"], told["run_id"]) == ("workflow.run.completed", run["id"])
        (envelope,) = mail.taken
        assert envelope.rcpt_tos == ["ann@example.com"]
        assert b"Sent: 200" in (envelope.content or b"")


async def test_without_a_mail_server_the_step_says_so(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        config = {"to": "{{ trigger.body.email }}", "subject": "Hello", "text": "x"}
        run = await run_of_hook(served, [{"key": "mail", "operation": "email.send", "config": config}])
        assert run["status"] == "failed"
        (step,) = run["steps"]
        assert (step["error"]["code"], step["attempt"]) == ("email_failed", 1)
        assert "email.host" in step["error"]["message"]


def test_the_password_is_not_shown() -> None:
    config = EmailConfig(host="mail.example.com", username="alloyd", password=Secret("canary"))
    assert "canary" not in repr(config)
