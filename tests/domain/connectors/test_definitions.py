"""Definitions: those that ship are sound, and every fault of another is told with its place."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest

from alloyd.domain.connectors import catalogue
from alloyd.domain.connectors.checking import read_definition
from alloyd.domain.connectors.model import params_schema
from alloyd.errors import AlloydError
from tests.connectors import OWN_CONNECTOR

HOSTS = {
    "slack": "slack.com",
    "github": "api.github.com",
    "shopify": "{shop}.myshopify.com",
    "hubspot": "api.hubapi.com",
    "stripe": "api.stripe.com",
    "notion": "api.notion.com",
    "airtable": "api.airtable.com",
    "discord": "discord.com",
    "twilio": "api.twilio.com",
    "sendgrid": "api.sendgrid.com",
}


def test_every_file_is_listed() -> None:
    files = Path(catalogue.__file__).parent / "data"
    assert {path.stem for path in files.glob("*.yaml")} == set(catalogue.NAMES)


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_what_ships_is_sound(name: str) -> None:
    connector = catalogue.shipped()[name]
    definition = connector.definition
    assert (definition.name, connector.org_id) == (name, None)
    assert definition.reference.startswith("https://")
    assert 4 <= len(definition.actions) <= 8
    assert name == "http" or urlsplit(definition.base_url).netloc == HOSTS[name]
    for action in definition.actions:
        jsonschema_rs.validator_for(params_schema(action))
        assert name == "http" or (action.reference or "").startswith("https://"), action.key


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"name": 7}, "name"),
    ({"more": 1}, ""),
    ({"base_url": "ftp://a.example"}, "base_url"),
    ({"base_url": "https://a.example/"}, "base_url"),
    ({"base_url": "https://a.example?x=1"}, "base_url"),
    ({"base_url": "https://user@a.example"}, "base_url"),
    ({"base_url": "https://{shop}.a.example"}, "base_url"),
    ({"base_url": "https://{shop}", "settings": {"shop": {"title": "x", "kind": "label"}}}, "base_url"),
    ({"base_url": "https://{shop}.a.example", "settings": {"shop": {"title": "x"}}}, "base_url"),
    ({"base_url": "{shop}/x", "settings": {"shop": {"title": "x", "kind": "url"}}}, "base_url"),
    ({"settings": {"Bad": {"title": "x"}}}, "settings.Bad"),
    ({"auth": []}, "auth"),
    ({"auth": [{"kind": "bearer"}, {"kind": "bearer"}]}, "auth[1].kind"),
    ({"auth": [{"kind": "api_key"}]}, "auth[0].header"),
    ({"auth": [{"kind": "api_key", "header": "{nope}"}]}, "auth[0].header"),
    ({"auth": [{"kind": "oauth2", "token_url": "https://a.example/t"}]}, "auth[0].authorize_url"),
    ({"auth": [{"kind": "bearer", "scheme": "a\nb"}]}, "auth[0]"),
    ({"auth": [{"kind": "magic"}]}, "auth[0].kind"),
    ({"headers": {"Host": "a.example"}}, "headers.Host"),
    ({"headers": {"X-A": "a\r\nb"}}, "headers.X-A"),
    ({"idempotency_header": "a b"}, "idempotency_header"),
    ({"actions": []}, "actions"),
]
ACTION_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"key": "No"}, "key"),
    ({"path": "//evil.example/x"}, "path"),
    ({"path": "/a?b=c"}, "path"),
    ({"path": "/a/../b"}, "path"),
    ({"path": "/a/{nope}"}, "path"),
    ({"method": "TRACE"}, "method"),
    ({"body": "json"}, "body"),
    ({"constants": {"a": 1}}, "constants"),
    ({"parameters": {"x": {"type": "string", "in": "path", "required": True}}}, "parameters.x"),
    ({"parameters": {"x": {"type": "string", "in": "body"}}}, "parameters.x.in"),
    ({"parameters": {"x": {"type": "string", "in": "header", "name": "Authorization"}}}, "parameters.x.name"),
    ({"parameters": {"x": {"type": "string", "in": "query", "style": "segments"}}}, "parameters.x.style"),
    ({"parameters": {"x": {"type": "any", "in": "query", "whole": True}}}, "parameters.x.whole"),
    ({"path": "/{x}", "parameters": {"x": {"type": "string", "in": "path"}}}, "parameters.x.required"),
    (
        {"path": "/{x}", "parameters": {"x": {"type": "array", "in": "path", "required": True}}},
        "parameters.x.type",
    ),
    ({"parameters": {"X": {"type": "string", "in": "query"}}}, "parameters.X"),
    ({"paging": {"kind": "cursor"}}, "paging.param"),
    ({"paging": {"kind": "cursor", "param": "a"}}, "paging.next"),
    ({"paging": {"kind": "link", "limit": "nope"}}, "paging.limit"),
    ({"headers": {"Cookie": "a"}}, "headers.Cookie"),
]


@pytest.mark.parametrize(
    ("change", "place"),
    FAULTS
    + [({"actions": [{**OWN_CONNECTOR["actions"][0], **more}]}, f"actions[0].{at}") for more, at in ACTION_FAULTS],
)
def test_each_fault_has_its_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(AlloydError) as raised:
        read_definition(copy.deepcopy(OWN_CONNECTOR) | change)
    assert raised.value.code.value == "unprocessable"
    assert place in [fault["path"] for fault in raised.value.details]


def test_all_faults_are_told_at_once() -> None:
    broken = copy.deepcopy(OWN_CONNECTOR) | {"auth": [], "idempotency_header": " "}
    with pytest.raises(AlloydError) as raised:
        read_definition(broken)
    assert [fault["path"] for fault in raised.value.details] == ["auth", "idempotency_header"]


def test_two_actions_of_one_key() -> None:
    action = OWN_CONNECTOR["actions"][0]
    with pytest.raises(AlloydError) as raised:
        read_definition(OWN_CONNECTOR | {"actions": [action, action]})
    assert raised.value.field == "actions[1].key"
