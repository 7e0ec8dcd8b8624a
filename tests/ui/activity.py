"""Sample data of files, usage, webhooks and teammates, for looking at their pages."""

from __future__ import annotations

from typing import Any

import aiohttp

from alloyd.domain.objects.model import NewObject
from alloyd.principal import system_principal
from tests.app import Served
from tests.ui.embedded import MARKUP, org_of
from tests.wire.objects.things import whole

DAY_MS = 86_400_000
# Refused by the egress guard: a receiver that no delivery reaches.
UNREACHED = "http://127.0.0.1:9/hook"
NAMES = (
    ("report.pdf", "application/pdf", 48_213),
    ("orders-2026-01.csv", "text/csv", 7_310),
    ("a very long name that somebody gave to a file because it had to say everything about it (final, really).docx",
     "application/vnd.openxmlformats-officedocument.wordprocessingml.document", 220_114),
    ("<b>bold.html", "text/html", 12),
)  # fmt: skip


async def fill_activity(served: Served, key: str, receiver_url: str | None = None) -> dict[str, str]:
    """Some of everything in the organization of ``key``; ids by the kind of thing."""
    await _use(served, key)
    sample = await _tell(served, key, receiver_url)
    await _store(served, key)
    job = {"modality": "text", "input": "Sum up what was sold in December."}
    sample["job"] = (await served.data("POST", "/jobs", job, 202, key=key))["id"]
    sample["teammate"] = await _talk(served, key)
    await served.app.webhook_events.settle()
    await served.app.webhook_sender.settle()
    return sample


async def _use(served: Served, key: str) -> None:
    """Calls of two weeks, and a budget."""
    await served.data("PUT", f"/organizations/{await org_of(served, key)}/budget", {"limit_usd": 25}, key=key)
    for day in range(14):
        for number in range(1 + day * 5 % 7):
            body = {"modality": "text", "input": "one two three " * (1 + number)}
            await served.data("POST", "/providers/execute", body, key=key)
        served.clock.advance(DAY_MS)


async def _tell(served: Served, key: str, receiver_url: str | None) -> dict[str, str]:
    """Two webhooks; what happens afterwards is told to them."""
    for url, about in ((UNREACHED, MARKUP), (receiver_url or UNREACHED, "Tells the shop")):
        body = {"url": url, "events": ["storage_file.*", "job.*"], "description": about}
        webhook = await served.data("POST", "/webhooks", body, 201, key=key)
    return {"webhook": webhook["id"]}


async def _store(served: Served, key: str) -> None:
    """Files, assets, and files of runs."""
    org_id = await org_of(served, key)
    for above, name in (("/", "invoices"), ("invoices", "2026"), ("/", "empty")):
        await served.app.storage.make_folder(system_principal(org_id), name, above)
    for folder in ("/", "invoices"):
        for name, mime, size in NAMES:
            await _upload(served, key, "/api/private/storage/upload", name, mime, size, path=folder)
    for name, mime, size in NAMES:
        await _upload(served, key, "/v1/assets", name, mime, size)
        new = NewObject("output", name, mime)
        await served.app.objects.put(system_principal(org_id), new, whole(b"x" * size))


async def _upload(served: Served, key: str, route: str, name: str, mime: str, size: int, **fields: str) -> None:
    form = aiohttp.FormData(quote_fields=False)
    for field, value in fields.items():
        form.add_field(field, value)
    form.add_field("file", b"x" * size, filename=name, content_type=mime)
    credential = await served.key(key)
    headers = {"api-key": credential} if route.startswith("/api") else {"Authorization": f"Bearer {credential}"}
    async with served.session.post(served.url + route, data=form, headers=headers) as answer:
        assert answer.status in (200, 201), await answer.text()


async def _talk(served: Served, key: str) -> str:
    """A teammate on the channel that has been talked to, and one that has not; the first one's id."""
    hello = await served.data("GET", "/workflow-definitions?q=hello", key=key)
    body: dict[str, Any] = {"name": "Ada", "role": "Answers guests", "provider": "echo", "model": "echo"}
    body |= {"channel": "api", "instructions": "Greet everybody by name."}
    body["tools"] = [{"type": "workflow", "workflow": hello[0]["name"]}]
    ada = await served.data("POST", "/teammates", body, 201, key=key)
    more = {"name": MARKUP, "role": "Has not been talked to", "enabled": False}
    await served.data("POST", "/teammates", more, 201, key=key)
    path = f"/teammates/{ada['id']}/messages"
    await served.data("POST", path, {"message": "What is new?\n\nTell me in two lines."}, key=key)
    said = await served.data("POST", path, {"message": f"hello {MARKUP}"}, key=key)
    again = {"conversation_id": said["conversation_id"], "message": 'call hello {"name": "Grace"}'}
    await served.data("POST", path, again, key=key)
    return str(ada["id"])
