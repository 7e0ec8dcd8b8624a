"""What texts in lists are taken and refused."""

from __future__ import annotations

import pytest

from alloyd.config.rules import destination, host, network, origin
from alloyd.egress.policy import EgressPolicy


@pytest.mark.parametrize("text", ["10.0.0.0/8", "127.0.0.1", "::1", "fd00::/8", "0.0.0.0/0"])
def test_networks(text: str) -> None:
    assert network(text) is None


@pytest.mark.parametrize("text", ["", "10.0.0.1/8", "10.0.0.0/33", "localhost", "10.0.0", "*", "10.0.0.0/8 "])
def test_what_is_no_network(text: str) -> None:
    assert network(text) is not None


@pytest.mark.parametrize(
    "text", ["localhost", "app.example.com", "127.0.0.1", "::1", "a_b.example", "xn--bcher-kva.example"]
)
def test_hosts(text: str) -> None:
    assert host(text) is None


@pytest.mark.parametrize(
    "text",
    ["", "a:80", "http://a", "a/b", "*", "*.a", "-a", "a-", "a..b", "a.", "300.1.1.1", "a b", "a\n", "ä.de", "a" * 64],
)
def test_what_is_no_host(text: str) -> None:
    assert host(text) is not None


@pytest.mark.parametrize(
    "text", ["https://a.example", "http://localhost:3001", "http://127.0.0.1:80", "http://[::1]:8080", "https://[::1]"]
)
def test_origins(text: str) -> None:
    assert origin(text) is None


@pytest.mark.parametrize(
    "text",
    ["", "null", "*", "https://*", "https://a/", "https://a/b", "a.example", "ftp://a", "https://a:99999", "https://u@a",
     "https://[zz]", "https://a?b", "https://a.example\n", "https://"],
)  # fmt: skip
def test_what_is_no_origin(text: str) -> None:
    assert origin(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/8",
        "10.1.2.3",
        "10.1.2.3:8080",
        "nas.lan",
        "nas.lan:9000",
        "::1",
        "fd00::/8",
        "[::1]:80",
        "[::1]",
        "[fd00::/8]:443",
        "10.0.0.0/8:443",
    ],
)
def test_destinations(text: str) -> None:
    assert destination(text) is None
    assert EgressPolicy.parse([text]) != EgressPolicy(), "who reads the setting has to take it as well"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "http://a",
        "a:0",
        "a:65536",
        "a:",
        ":80",
        "a/b",
        "a:b",
        "10.0.0.1/8",
        "a:٣",
        "fd00::/8:443",
        "[10.0.0.1]:80",
        "[a]",
        "[::1]:0",
        "[zz::]:80",
        "0x7f.1",
        "127.1",
    ],
)
def test_what_is_no_destination(text: str) -> None:
    assert destination(text) is not None
