"""The next hop, by table."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from alloyd.egress import EgressError, EgressKind
from alloyd.egress.hosts import parse_target
from alloyd.egress.redirects import Hop, is_credential, next_hop

HEADERS = (
    ("Accept", "*/*"),
    ("Content-Type", "text/plain"),
    ("Authorization", "Bearer s"),
    ("Cookie", "a=b"),
    ("Proxy-Authorization", "Basic s"),
    ("X-API-Key", "s"),
    ("X-Marked", "s"),
)
SAFE = {"Accept", "Content-Type"}


def hop(method: str = "GET", url: str = "https://a.example/dir/x", body: bytes | None = None) -> Hop:
    return Hop(method, parse_target(url), HEADERS, body)


def follow(start: Hop, status: int, *locations: str) -> Hop:
    following = next_hop(start, status, locations, ["x-marked"])
    assert following is not None
    return following


@pytest.mark.parametrize(
    ("method", "status", "expected", "keeps_body"),
    [
        ("GET", 301, "GET", True),
        ("HEAD", 301, "HEAD", True),
        ("POST", 301, "GET", False),
        ("POST", 302, "GET", False),
        ("PUT", 301, "PUT", True),
        ("DELETE", 302, "DELETE", True),
        ("GET", 303, "GET", True),
        ("HEAD", 303, "HEAD", True),
        ("POST", 303, "GET", False),
        ("PUT", 303, "GET", False),
        ("POST", 307, "POST", True),
        ("POST", 308, "POST", True),
        ("PATCH", 307, "PATCH", True),
    ],
)
def test_method_and_body(method: str, status: int, expected: str, keeps_body: bool) -> None:
    following = follow(hop(method, body=b"x"), status, "/y")
    assert following.method == expected
    assert following.body == (b"x" if keeps_body else None)
    assert ("content-type" in {name.lower() for name, _ in following.headers}) is keeps_body


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("y", "https://a.example/dir/y"),
        ("/y", "https://a.example/y"),
        ("../y", "https://a.example/y"),
        ("?q=1", "https://a.example/dir/x?q=1"),
        ("//b.example/y", "https://b.example/y"),
        ("http://b.example:81/y#f", "http://b.example:81/y"),
        (" /a b ", "https://a.example/a%20b"),
        ("/ü", "https://a.example/%C3%BC"),
    ],
)
def test_location(location: str, url: str) -> None:
    assert str(follow(hop(), 302, location).target.url) == url


@pytest.mark.parametrize(
    "location",
    [
        "ftp://b.example/",
        "file:///etc/passwd",
        "http:b.example",
        "javascript:x",
        "//user@b.example/",
        "https://@b.example/",
        "https://user:pw@b.example/",
        "/\\b.example/",
        "\\\\b.example/",
        "/a\tb",
        "https://2130706433/",
        "//127.1/",
        "http://[::1",
        "//b.example:99999/",
    ],
)
def test_bad_location(location: str) -> None:
    with pytest.raises(EgressError) as caught:
        follow(hop(), 302, location)
    assert caught.value.kind is EgressKind.REDIRECT
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("location", "same"),
    [
        ("/y", True),
        ("https://a.example:443/y", True),
        ("https://A.EXAMPLE./y", True),
        ("https://a.example:444/y", False),
        ("http://a.example/y", False),
        ("https://b.example/y", False),
        ("https://sub.a.example/y", False),
    ],
)
def test_credentials_stay_with_their_origin(location: str, same: bool) -> None:
    names = {name for name, _ in follow(hop(), 302, location).headers}
    assert names == ({name for name, _ in HEADERS} if same else SAFE)


def test_dropped_credentials_do_not_come_back() -> None:
    away = follow(hop(), 302, "https://b.example/")
    assert {name for name, _ in follow(away, 302, "https://a.example/").headers} == SAFE


@pytest.mark.parametrize(("status", "locations"), [(200, ["/y"]), (304, ["/y"]), (300, ["/y"]), (302, [])])
def test_no_redirect(status: int, locations: list[str]) -> None:
    assert next_hop(hop(), status, locations, []) is None


def test_two_locations() -> None:
    assert follow(hop(), 302, "/y", "/y").target.url.path == "/y"
    with pytest.raises(EgressError, match="several places"):
        follow(hop(), 302, "/y", "/z")


def test_body_does_not_leave_https() -> None:
    with pytest.raises(EgressError, match="from https to http"):
        follow(hop("POST", body=b"client_secret=x"), 307, "http://a.example/")
    assert follow(hop("POST", body=b"x"), 302, "http://a.example/").body is None


async def test_streamed_body_is_not_sent_twice() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"

    start = Hop("POST", parse_target("https://a.example/"), (), body())
    with pytest.raises(EgressError, match="can't be sent again"):
        follow(start, 308, "/y")
    assert follow(start, 303, "/y").body is None


@pytest.mark.parametrize(
    ("name", "credential"),
    [
        ("Authorization", True),
        ("COOKIE", True),
        ("api-key", True),
        ("X_Api_Key", True),
        ("x-goog-api-key", True),
        ("X-Auth-Token", True),
        ("X-Amz-Security-Token", True),
        ("X-Hub-Signature-256", True),
        ("Mine", True),
        ("Accept", False),
        ("Content-Type", False),
        ("User-Agent", False),
    ],
)
def test_is_credential(name: str, credential: bool) -> None:
    assert is_credential(name, ["mine"]) is credential
