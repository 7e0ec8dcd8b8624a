"""`POST /v1/auth/stream-ticket`: a one-time credential for a stream."""

from __future__ import annotations

import msgspec

from alloyd.wire.route import SIGNED_IN, Call, Route
from alloyd.wire.tickets import TICKET_TTL_S, StreamTickets


class TicketOut(msgspec.Struct):
    """``expires_in`` in seconds."""

    ticket: str
    expires_in: int


def routes(tickets: StreamTickets) -> list[Route]:
    """The route that issues tickets; the surface redeems them (``Surface.find_stream_principal``)."""

    async def create_stream_ticket(call: Call) -> TicketOut:
        return TicketOut(tickets.issue(call.who), TICKET_TTL_S)

    return [
        Route(
            "POST",
            "/auth/stream-ticket",
            create_stream_ticket,
            SIGNED_IN,
            "A one-time ticket that opens one stream as ?ticket=, within 30 seconds",
            output=TicketOut,
            statuses=(429,),
            mutates=False,
        )
    ]
