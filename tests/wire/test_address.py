"""Whose word counts for where a caller sits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from alloyd.wire.address import HOPS_MAX, LOCAL, TrustedProxies, caller_address
from alloyd.wire.control.codec import ControlSurface
from alloyd.wire.route import PUBLIC, Call, Route
from alloyd.wire.server import Server, WireLimits
from tests.identity import open_world

PROXIES = ("10.0.0.0/8", "fd00::/8", "127.0.0.1")


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.7", [], "192.0.2.7"),
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7"),  # nobody's word counts who is no proxy
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),  # the first is what the caller says of itself
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1, 10.2.2.2"], "198.51.100.1"),  # two proxies
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1", "10.2.2.2"], "198.51.100.1"),  # a header each
        ("10.0.0.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),  # a caller within the proxies' own network
        ("10.0.0.1", ["198.51.100.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense, 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("fd00::1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("fd00::1", ["2001:DB8:0::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("::ffff:192.0.2.7", ["198.51.100.1"], "192.0.2.7"),
        ("fe80::1%eth0", [], "fe80::1"),
        ("10.0.0.1", [", ".join(["10.9.9.9"] * 5000)], "10.9.9.9"),
        ("10.0.0.1", ["198.51.100.1" + ", 10.9.9.9" * HOPS_MAX], "10.9.9.9"),  # further back nobody looks
        ("", ["198.51.100.1"], LOCAL),
        (None, ["198.51.100.1"], LOCAL),
    ],
)
def test_address_of_the_caller(peer: str | None, forwarded: list[str], address: str) -> None:
    assert TrustedProxies(PROXIES).find_caller(peer, forwarded) == address


def test_without_proxies_nobody_is_believed() -> None:
    assert TrustedProxies().find_caller("10.0.0.1", ["198.51.100.1"]) == "10.0.0.1"


@pytest.mark.parametrize("path", ["/v1/where", "/v1/where?x=1", "/v1/where/"])
async def test_every_request_knows_the_servers_proxies(tmp_path: Path, path: str) -> None:
    async def where(call: Call) -> str:
        return caller_address(call.request)

    class Nobody(ControlSurface):
        def __init__(self, clock: Any) -> None:
            super().__init__([Route("GET", "/where", where, PUBLIC, "Where")], None, clock)  # type: ignore[arg-type]

    async with open_world(tmp_path) as world:
        server = Server([Nobody(world.clock)], lambda _principal, _action: None, WireLimits())
        async with TestClient(TestServer(server.build())) as client:
            seen = []
            for ranges in ((), ("127.0.0.0/8",), ("10.0.0.0/8",)):
                server.trust_proxies(ranges)
                async with client.get(path, headers={"X-Forwarded-For": "198.51.100.1"}) as response:
                    seen.append((await response.json())["data"])
    assert seen == ["127.0.0.1", "198.51.100.1", "127.0.0.1"]
