"""URLs that try to be something else, by table."""

from __future__ import annotations

import pytest

from alloyd.egress import EgressError, EgressKind
from alloyd.egress.hosts import host_name, parse_target

READ = [
    # url, host, port, address?, url that is sent
    ("http://a.example", "a.example", 80, False, "http://a.example"),
    ("https://a.example/x?y=1#frag", "a.example", 443, False, "https://a.example/x?y=1"),
    ("HTTPS://A.Example:8443/", "a.example", 8443, False, "https://a.example:8443/"),
    ("http://a.example./x", "a.example", 80, False, "http://a.example/x"),
    ("http://localhost./x", "localhost", 80, False, "http://localhost/x"),
    ("http://a_b.example/", "a_b.example", 80, False, "http://a_b.example/"),
    ("http://bücher.example/", "xn--bcher-kva.example", 80, False, "http://xn--bcher-kva.example/"),
    ("http://a.example#@evil.example/", "a.example", 80, False, "http://a.example"),
    ("http://a.example?@evil.example/", "a.example", 80, False, "http://a.example/?@evil.example/"),
    ("http://127.0.0.1/", "127.0.0.1", 80, True, "http://127.0.0.1/"),
    ("http://①②⑦.⓪.⓪.①/", "127.0.0.1", 80, True, "http://127.0.0.1/"),
    ("http://127。0。0。1/", "127.0.0.1", 80, True, "http://127.0.0.1/"),
    ("http://[::1]:81/", "::1", 81, True, "http://[::1]:81/"),
    ("http://[0:0::1]/", "::1", 80, True, "http://[::1]/"),
]


@pytest.mark.parametrize(("text", "host", "port", "literal", "sent"), READ)
def test_read(text: str, host: str, port: int, literal: bool, sent: str) -> None:
    target = parse_target(text)
    assert (target.host, target.port, target.address is not None) == (host, port, literal)
    assert str(target.url) == sent
    assert target.url.raw_host == host


def test_mapped_address_is_an_address() -> None:
    target = parse_target("http://[::ffff:127.0.0.1]/")
    assert target.address is not None
    assert target.url.raw_host == str(target.address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.example",
        "/path",
        "//a.example/",
        "http:a.example",
        "http:/a.example",
        "http:///a.example",
        "http://",
        "http://:80/",
        "http://.",
        "http://./",
        "http://a..example/",
        "http://a.example../",
        "ftp://a.example/",
        "file:///etc/passwd",
        "gopher://a.example/",
        "tcp://a.example/",
        "unix:///run/x.sock",
        "http+unix://a/",
        "javascript:alert(1)",
        " http://a.example/",
        "http://a.example/ x",
        "http://a.example/\r\nX: y",
        "http://a.example\t/",
        "http://a.example\x00.evil.example/",
        "http://a.example\\@evil.example/",
        "http://evil.example\\.a.example/",
        "http://a.example/\x85",
        "http://a.example/\ud800",
        "http://user@a.example/",
        "http://user:secret@a.example/",
        "http://@a.example/",
        "http://:@a.example/",
        "http://a.example:80@evil.example/",
        "http://a.example:0/",
        "http://a.example:00/",
        "http://a.example:65536/",
        "http://a.example:-1/",
        "http://a.example:80:80/",
        "http://a.example:x/",
        "http://%61.example/",
        "http://127.0.0.1%2f@evil.example/",
        "http://2130706433/",
        "http://2130706433./",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0x7f.0.0.0x1/",
        "http://0177.0.0.1/",
        "http://017700000001/",
        "http://127.1/",
        "http://127.0.1/",
        "http://127.0.0.1.1/",
        "http://127.0.0.256/",
        "http://127.0.0.01/",
        "http://a.example.1/",
        "http://0/",
        "http://[::1/",
        "http://::1/",
        "http://[::1]x/",
        "http://[::1%25lo]/",
        "http://[fe80::1%eth0]/",
        "http://[127.0.0.1]/",
        "http://[a.example]/",
        "http://[v1.a]/",
        "http://-a.example/",
        "http://a,b.example/",
        "http://a.example;b/",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 130 + "example/",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(EgressError) as caught:
        parse_target(text)
    assert caught.value.kind is EgressKind.REFUSED
    assert caught.value.field == "url"
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("text", ["http://%61.example/", "http://[fe80::1%25lo]/"])
def test_percent_in_host_is_told(text: str) -> None:
    with pytest.raises(EgressError, match="percent sign"):
        parse_target(text)


def test_redirect_kind_is_kept() -> None:
    with pytest.raises(EgressError) as caught:
        parse_target("ftp://a.example", EgressKind.REDIRECT)
    assert caught.value.kind is EgressKind.REDIRECT


def test_origin_and_where() -> None:
    assert parse_target("https://A.example./x").origin == ("https", "a.example", 443)
    assert parse_target("https://[::1]/x").where == "[::1]:443"
    assert parse_target("http://a.example/x?k=secret").where == "a.example:80"


@pytest.mark.parametrize(
    ("text", "name"),
    [("A.example.", "a.example"), ("", None), (".", None), ("1", None), ("0x", None), ("a.0x1f", None), ("☃☃ ", None)],
)
def test_host_name(text: str, name: str | None) -> None:
    assert host_name(text) == name
