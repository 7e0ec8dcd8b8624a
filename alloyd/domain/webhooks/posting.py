"""One attempt of a delivery: signed, sent through the one door out, and put into words."""

from __future__ import annotations

from dataclasses import dataclass

from alloyd.domain.webhooks.model import SNIPPET_BYTES, Delivery, Destination
from alloyd.egress import EgressError, EgressKind, Outbound, OutboundRequest
from alloyd.egress.retry_after import retry_after_ms
from alloyd.kit.signatures import DELIVERY_HEADER, EVENT_HEADER, SIGNATURE_HEADER, signature_header

GONE = 410


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of an attempt. ``final``: trying again can't help. ``response`` is the beginning of the answer."""

    status: int | None = None
    error: str | None = None
    response: str | None = None
    retry_after_ms: int | None = None
    final: bool = False

    @property
    def arrived(self) -> bool:
        """Whether the other side took it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether the other side wants nothing more, ever."""
        return self.status == GONE


def headers_for(
    secrets: tuple[str, ...], delivery_id: str, kind: str, body: bytes, now_ms: int
) -> list[tuple[str, str]]:
    """What alloyd sends with a signed body."""
    return [
        ("Content-Type", "application/json"),
        (SIGNATURE_HEADER, signature_header(secrets, now_ms // 1000, body)),
        (DELIVERY_HEADER, delivery_id),
        (EVENT_HEADER, kind),
    ]


async def post(outbound: Outbound, to: Destination, delivery: Delivery, now_ms: int, timeout_s: float) -> Posted:
    """Send ``delivery`` once. Redirects are not followed: the signature is for whoever the URL names."""
    request = OutboundRequest(
        method="POST",
        url=to.url,
        headers=headers_for(to.secrets, delivery.id, delivery.kind, delivery.body, now_ms),
        body=delivery.body,
        timeout_s=timeout_s,
        follow_redirects=False,
    )
    try:
        async with outbound.stream(request) as stream:
            asked = stream.headers.get("retry-after")
            return Posted(
                stream.status,
                None if 200 <= stream.status < 300 else f"answered with status {stream.status}",
                (await stream.read_beginning(SNIPPET_BYTES)).decode("utf-8", "replace"),
                retry_after_ms(asked, now_ms) if asked else None,
                final=stream.status == GONE,
            )
    except EgressError as error:
        # What alloyd itself refuses will be refused again, until an operator opens it.
        return Posted(error=error.message, final=error.kind is EgressKind.REFUSED)
