"""A request's own parts, checked before anything leaves."""

from __future__ import annotations

import math
from typing import Any

import pytest

from alloyd.egress import EgressError, EgressKind, EgressLimits, OutboundRequest, ResponseHeaders
from alloyd.egress.messages import check_request

LIMITS = EgressLimits(request_headers_max=3, request_header_bytes_max=200, url_chars_max=100)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("method", {"method": ""}),
        ("method", {"method": "GET /"}),
        ("method", {"method": "GET\r\nX: y"}),
        ("method", {"method": "connect"}),
        ("method", {"method": "TRACE"}),
        ("url", {"url": "http://a.example/" + "x" * 100}),
        ("headers", {"headers": [("", "x")]}),
        ("headers", {"headers": [("A B", "x")]}),
        ("headers", {"headers": [("A:", "x")]}),
        ("headers", {"headers": [("A\r\nB", "x")]}),
        ("headers", {"headers": [("Ä", "x")]}),
        ("headers.A", {"headers": [("A", "x\r\nB: y")]}),
        ("headers.A", {"headers": [("A", "x\ny")]}),
        ("headers.A", {"headers": [("A", "x\0")]}),
        ("headers.A", {"headers": [("A", "\ud800")]}),
        ("headers.Host", {"headers": [("Host", "b.example")]}),
        ("headers.content-length", {"headers": [("content-length", "3")]}),
        ("headers.Transfer-Encoding", {"headers": [("Transfer-Encoding", "chunked")]}),
        ("headers.Connection", {"headers": [("Connection", "upgrade")]}),
        ("headers.Upgrade", {"headers": [("Upgrade", "websocket")]}),
        ("headers.TE", {"headers": [("TE", "trailers")]}),
        ("headers", {"headers": [("A", "x")] * 4}),
        ("headers", {"headers": [("A", "x" * 200)]}),
        ("timeout_s", {"timeout_s": 0}),
        ("timeout_s", {"timeout_s": math.nan}),
        ("timeout_s", {"timeout_s": 3601}),
        ("idle_timeout_s", {"idle_timeout_s": -1}),
        ("response_bytes_max", {"response_bytes_max": 0}),
        ("response_bytes_max", {"response_bytes_max": 2**40}),
    ],
)
def test_refused(field: str, change: dict[str, Any]) -> None:
    request = OutboundRequest(**{"method": "GET", "url": "http://a.example/", **change})
    with pytest.raises(EgressError) as caught:
        check_request(request, LIMITS)
    assert (caught.value.kind, caught.value.field) == (EgressKind.REFUSED, field)
    assert "\n" not in caught.value.message


def test_bounds() -> None:
    plain = check_request(OutboundRequest(method="patch", url="http://a.example/"), LIMITS)
    assert (plain.timeout_s, plain.idle_timeout_s, plain.response_bytes_max) == (30.0, 30.0, 10 * 1024 * 1024)
    own = OutboundRequest(
        method="GET", url="u", headers=[("A", "tab\tand ü")], timeout_s=600, idle_timeout_s=5, response_bytes_max=7
    )
    bounds = check_request(own, LIMITS)
    assert (bounds.timeout_s, bounds.idle_timeout_s, bounds.response_bytes_max) == (600, 5, 7)


def test_default_above_its_ceiling_holds() -> None:
    limits = EgressLimits(timeout_s=7200, response_bytes_max=2**30)
    bounds = check_request(OutboundRequest(method="GET", url="u"), limits)
    assert (bounds.timeout_s, bounds.response_bytes_max) == (7200, 2**30)
    with pytest.raises(EgressError, match="between 0 and 7200"):
        check_request(OutboundRequest(method="GET", url="u", timeout_s=7201), limits)


def test_response_headers() -> None:
    headers = ResponseHeaders([("A", "1"), ("b", "2"), ("a", "3")])
    assert headers.get("a") == "1"
    assert headers.get_all("A") == ["1", "3"]
    assert headers.get("c") == ""
    assert headers.get("c", "none") == "none"
    assert headers.without("a").pairs == (("b", "2"),)
