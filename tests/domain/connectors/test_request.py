"""From an action to its request: everything is encoded, and nothing leads to another host."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloyd.domain.connectors.catalogue import shipped
from alloyd.domain.connectors.paging import next_link, next_of, with_cursor
from alloyd.domain.connectors.request import (
    Prepared,
    check_settings,
    origin_of,
    prepare,
    prepare_link,
    require_action,
)
from alloyd.egress.hosts import parse_target
from alloyd.errors import AlloydError


def made(name: str, key: str, params: dict[str, Any], settings: dict[str, str] | None = None) -> Prepared:
    definition = shipped()[name].definition
    return prepare(definition, require_action(definition, key), check_settings(definition, settings or {}), params)


HTTP = {"base_url": "https://api.example.com/v1"}
REQUESTS: list[tuple[str, str, dict[str, Any], dict[str, str], str, bytes | None]] = [
    (
        "slack",
        "send_message",
        {"channel": "#general", "text": "Hi"},
        {},
        "POST https://slack.com/api/chat.postMessage",
        b'{"channel":"#general","text":"Hi"}',
    ),
    (
        "github",
        "get_content",
        {"owner": "a", "repo": "b", "path": "src/ä b.py", "ref": "main"},
        {},
        "GET https://api.github.com/repos/a/b/contents/src/%C3%A4%20b.py?ref=main",
        None,
    ),
    (
        "shopify",
        "list_products",
        {"limit": 5, "fields": ["id", "title"]},
        {"shop": "acme"},
        "GET https://acme.myshopify.com/admin/api/2026-10/products.json?limit=5&fields=id%2Ctitle",
        None,
    ),
    (
        "stripe",
        "create_customer",
        {"email": "a@b.example", "metadata": {"a": 1, "b": {"c": [True]}}},
        {},
        "POST https://api.stripe.com/v1/customers",
        b"email=a%40b.example&metadata%5Ba%5D=1&metadata%5Bb%5D%5Bc%5D%5B0%5D=true",
    ),
    (
        "airtable",
        "list_records",
        {"base_id": "app1", "table": "My table", "fields": ["A", "B"], "sort": [{"field": "A"}]},
        {},
        "GET https://api.airtable.com/v0/app1/My%20table?fields%5B%5D=A&fields%5B%5D=B&sort%5B0%5D%5Bfield%5D=A",
        None,
    ),
    (
        "twilio",
        "send_message",
        {"to": "+1555", "body": "Hi", "media_url": ["https://a.example", "https://b.example"]},
        {"account_sid": "AC123"},
        "POST https://api.twilio.com/2010-04-01/Accounts/AC123/Messages.json",
        b"To=%2B1555&Body=Hi&MediaUrl=https%3A%2F%2Fa.example&MediaUrl=https%3A%2F%2Fb.example",
    ),
    (
        "sendgrid",
        "list_templates",
        {},
        {},
        "GET https://api.sendgrid.com/v3/templates?generations=dynamic&page_size=50",
        None,
    ),
    ("http", "get", {"path": "/a/b", "query": {"x": [1, 2]}}, HTTP, "GET https://api.example.com/v1/a/b?x=1&x=2", None),
    ("http", "post", {"path": "a", "body": [1, None]}, HTTP, "POST https://api.example.com/v1/a", b"[1,null]"),
    ("http", "post_form", {"path": "a", "fields": {"b": "c d"}}, HTTP, "POST https://api.example.com/v1/a", b"b=c+d"),
]


@pytest.mark.parametrize(("name", "key", "params", "settings", "sent", "body"), REQUESTS)
def test_requests(
    name: str, key: str, params: dict[str, Any], settings: dict[str, str], sent: str, body: bytes | None
) -> None:
    request = made(name, key, params, settings)
    assert (f"{request.method} {request.url}", request.body) == (sent, body)


def test_fixed_headers_go_along() -> None:
    assert ("Notion-Version", "2025-09-03") in made("notion", "get_page", {"page_id": "p"}).headers


@pytest.mark.parametrize("value", [".", "..", ""])
def test_a_path_can_not_go_up(value: str) -> None:
    with pytest.raises(AlloydError, match=r"params\.owner"):
        made("github", "list_issues", {"owner": value, "repo": "b"})


@pytest.mark.parametrize("value", ["../x", "a/../../x", "a/./b"])
def test_segments_can_not_go_up(value: str) -> None:
    with pytest.raises(AlloydError, match=r"params\.path"):
        made("http", "get", {"path": value}, HTTP)


@given(st.text(min_size=1, max_size=30))
def test_no_parameter_changes_the_host(value: str) -> None:
    for params in ({"owner": value, "repo": "b"}, {"owner": "a", "repo": value}):
        try:
            url = made("github", "list_issues", params).url
        except AlloydError:
            continue
        target = parse_target(url)
        assert (target.host, target.port) == ("api.github.com", 443)
        assert len(target.url.raw_path.split("/")) == 5


@pytest.mark.parametrize(
    ("name", "settings", "field"),
    [
        ("shopify", {}, "settings.shop"),
        ("shopify", {"shop": "evil.example/"}, "settings.shop"),
        ("shopify", {"shop": "a.b"}, "settings.shop"),
        ("shopify", {"shop": "a", "more": "b"}, "settings.more"),
        ("shopify", {"shop": "a" * 3000}, "settings.shop"),
        ("twilio", {"account_sid": "../x"}, "settings.account_sid"),
        ("twilio", {"account_sid": ".."}, "settings.account_sid"),
        ("http", {"base_url": "file:///etc/passwd"}, "settings.base_url"),
        ("http", {"base_url": "https://a.example/?x"}, "settings.base_url"),
        ("http", {**HTTP, "header": "Host"}, "settings.header"),
        ("http", {**HTTP, "header": "a b"}, "settings.header"),
    ],
)
def test_settings_are_checked(name: str, settings: dict[str, str], field: str) -> None:
    with pytest.raises(AlloydError) as raised:
        check_settings(shipped()[name].definition, settings)
    assert raised.value.field == field


@pytest.mark.parametrize(
    "link",
    ["https://evil.example/x", "//evil.example/x", "http://api.github.com/x", "https://api.github.com:444/", "a b"],
)
def test_a_next_page_elsewhere_is_refused(link: str) -> None:
    definition = shipped()["github"].definition
    with pytest.raises(AlloydError, match="cursor"):
        prepare_link(definition, require_action(definition, "list_issues"), {}, link)


def test_a_next_page_here_is_taken() -> None:
    definition = shipped()["twilio"].definition
    settings = {"account_sid": "AC1"}
    request = prepare_link(
        definition, require_action(definition, "list_messages"), settings, "/2010-04-01/x.json?Page=1"
    )
    assert request.url == "https://api.twilio.com/2010-04-01/x.json?Page=1"
    assert origin_of(definition, settings) == ("https", "api.twilio.com", 443)


def test_an_unknown_action_is_told() -> None:
    with pytest.raises(AlloydError, match="list_channels"):
        require_action(shipped()["slack"].definition, "nope")


@pytest.mark.parametrize(
    ("name", "key", "params", "cursor", "data", "links", "following"),
    [
        ("slack", "list_channels", {}, None, {"channels": [1], "response_metadata": {"next_cursor": "c"}}, [], "c"),
        ("slack", "list_channels", {}, None, {"channels": [1], "response_metadata": {"next_cursor": ""}}, [], None),
        ("slack", "list_channels", {}, "c", {"channels": [1], "response_metadata": {"next_cursor": "c"}}, [], None),
        ("stripe", "list_customers", {}, None, {"data": [{"id": "a"}, {"id": "b"}], "has_more": True}, [], "b"),
        ("stripe", "list_customers", {}, None, {"data": [{"id": "a"}], "has_more": False}, [], None),
        ("discord", "list_members", {"limit": 2}, None, [{"user": {"id": "7"}}, {"user": {"id": "9"}}], [], "9"),
        ("discord", "list_members", {"limit": 2}, None, [{"user": {"id": "7"}}], [], None),
        ("discord", "list_members", {}, "9", [], [], None),
        ("sendgrid", "list_bounces", {"limit": 2}, "4", [1, 2], [], "6"),
        ("sendgrid", "list_bounces", {"limit": 2}, "4", [1], [], None),
        (
            "github",
            "list_issues",
            {},
            None,
            [1],
            ['<https://api.github.com/x?page=2>; rel="next"'],
            "https://api.github.com/x?page=2",
        ),
        ("github", "list_issues", {}, None, [1], ['<https://api.github.com/x?page=1>; rel="prev"'], None),
        ("twilio", "list_messages", {}, None, {"messages": [], "next_page_uri": None}, [], None),
        ("notion", "get_page", {}, None, {"next_cursor": "x"}, [], None),
    ],
)
def test_what_the_next_page_is_asked_by(
    name: str, key: str, params: dict[str, Any], cursor: str | None, data: Any, links: list[str], following: str | None
) -> None:
    action = require_action(shipped()[name].definition, key)
    assert next_of(action, params, cursor, data, links) == following


def test_cursors_go_where_they_belong() -> None:
    notion, slack = (
        require_action(shipped()[name].definition, key) for name, key in (("notion", "search"), ("slack", "list_users"))
    )
    assert with_cursor(notion, "x") == ({}, {"start_cursor": "x"})
    assert with_cursor(slack, "x") == ({"cursor": "x"}, {})
    assert with_cursor(slack, None) == ({}, {})


@pytest.mark.parametrize("header", ["", "<a", '<a>; rel="prev"', "<a>; x=next", '<a>; title="rel=next"; rel=last'])
def test_headers_without_a_next(header: str) -> None:
    assert next_link([header]) is None
