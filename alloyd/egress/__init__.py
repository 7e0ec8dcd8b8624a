"""The one outbound HTTP client: everything that leaves alloyd passes its address check."""

from __future__ import annotations

from alloyd.egress.client import Outbound
from alloyd.egress.errors import EgressError, EgressKind
from alloyd.egress.messages import EgressLimits, OutboundRequest, OutboundResponse, ResponseHeaders
from alloyd.egress.policy import EgressPolicy
from alloyd.egress.stream import OutboundStream

__all__ = [
    "EgressError",
    "EgressKind",
    "EgressLimits",
    "EgressPolicy",
    "Outbound",
    "OutboundRequest",
    "OutboundResponse",
    "OutboundStream",
    "ResponseHeaders",
]
