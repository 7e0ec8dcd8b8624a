"""Names and literal addresses pass the check, and nothing reaches a socket without it."""

from __future__ import annotations

import contextvars
import socket

import pytest

from alloyd.egress import EgressError, EgressKind, EgressPolicy
from alloyd.egress.hosts import parse_target
from alloyd.egress.resolver import CheckedResolver, SystemLookup, begin_hop, checked_socket

PUBLIC_4, PUBLIC_6 = "93.184.216.34", "2606:4700::1111"


def resolver(*answer: str, allow: tuple[str, ...] = ()) -> CheckedResolver:
    async def lookup(host: str) -> list[str]:
        return list(answer)

    return CheckedResolver(EgressPolicy.parse(allow), lookup)


def info(address: str) -> tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return (family, socket.SOCK_STREAM, 6, "", (address, 80))


@pytest.mark.parametrize(
    "answer",
    [
        ["10.0.0.1"],
        [PUBLIC_4, "10.0.0.1"],
        ["127.0.0.1", PUBLIC_4],
        [PUBLIC_4, "::1"],
        ["::ffff:169.254.169.254"],
        ["64:ff9b::a00:1"],
        ["fe80::1%2"],
    ],
)
async def test_one_bad_address_refuses_the_name(answer: list[str]) -> None:
    begin_hop(parse_target("http://a.example/"), EgressPolicy())
    with pytest.raises(EgressError) as caught:
        await resolver(*answer).resolve("a.example", 80, socket.AF_UNSPEC)
    assert caught.value.kind is EgressKind.REFUSED
    assert "a.example:80" in caught.value.message
    assert not any(address in caught.value.message for address in answer)
    for address in answer:
        with pytest.raises(EgressError):
            checked_socket(info(address))


async def test_checked_addresses_are_approved_and_no_others() -> None:
    begin_hop(parse_target("http://a.example/"), EgressPolicy())
    found = await resolver(PUBLIC_4, PUBLIC_6).resolve("a.example", 80, socket.AF_UNSPEC)
    assert [(r["host"], r["port"], r["family"]) for r in found] == [
        (PUBLIC_4, 80, socket.AF_INET),
        (PUBLIC_6, 80, socket.AF_INET6),
    ]
    checked_socket(info(PUBLIC_4)).close()
    checked_socket(info(PUBLIC_6)).close()
    with pytest.raises(EgressError, match="not allowed"):
        checked_socket(info("93.184.216.35"))
    begin_hop(parse_target("http://b.example/"), EgressPolicy())
    with pytest.raises(EgressError):
        checked_socket(info(PUBLIC_4))


async def test_family_is_kept_and_count_bounded() -> None:
    begin_hop(parse_target("http://a.example/"), EgressPolicy())
    found = await resolver(PUBLIC_4, PUBLIC_6).resolve("a.example", 80, socket.AF_INET)
    assert [r["host"] for r in found] == [PUBLIC_4]
    many = [f"8.8.8.{n}" for n in range(100)]
    assert len(await resolver(*many).resolve("a.example", 80, socket.AF_UNSPEC)) == 16
    with pytest.raises(EgressError):
        await resolver(*many, "10.0.0.1").resolve("a.example", 80, socket.AF_UNSPEC)


async def test_open_host_and_port() -> None:
    begin_hop(parse_target("http://intranet.example/"), EgressPolicy())
    inside = resolver("10.0.0.1", allow=("intranet.example:80",))
    assert len(await inside.resolve("intranet.example", 80, socket.AF_UNSPEC)) == 1
    with pytest.raises(EgressError):
        await inside.resolve("intranet.example", 81, socket.AF_UNSPEC)
    await inside.close()


async def test_no_address() -> None:
    with pytest.raises(socket.gaierror):
        await resolver().resolve("a.example", 80)


def test_literal_is_checked_and_approved() -> None:
    with pytest.raises(EgressError) as caught:
        begin_hop(parse_target("http://[::ffff:10.0.0.1]/"), EgressPolicy())
    assert caught.value.kind is EgressKind.REFUSED
    begin_hop(parse_target("http://10.0.0.1/"), EgressPolicy.parse(["10.0.0.1"]))
    checked_socket(info("10.0.0.1")).close()


def test_without_a_hop_no_socket() -> None:
    with pytest.raises(EgressError):
        contextvars.Context().run(checked_socket, info(PUBLIC_4))


async def test_system_lookup() -> None:
    lookup = SystemLookup(1)
    try:
        assert "127.0.0.1" in await lookup("localhost")
        with pytest.raises(OSError, match="not a name"):
            await lookup("a" * 70 + ".example")
    finally:
        lookup.close()
