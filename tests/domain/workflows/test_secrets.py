"""Secrets in definitions: found in every form, sealed for their place, masked, kept over an export."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from alloyd.domain.workflows.secrets import masked, secret_places
from alloyd.errors import AlloydError
from alloyd.kit.crypto import UnsealError
from tests.engine import known_secrets

SEND = {"operation": "webhook.send", "config": {"url": "https://example.com/", "secret": "canary-1"}}
DEFINITION: dict[str, Any] = {
    "name": "flow",
    "trigger": {"type": "webhook", "secret": "canary-0"},
    "nodes": [
        {"key": "send", **SEND},
        {"key": "each", "operation": "workflow.foreach", "config": {"items": [], "nodes": [{"key": "in", **SEND}]}},
        {"key": "late", "operation": "webhook.send", "config": {"secret": "{{ context.secret }}"}},
        {
            "key": "ask",
            "operation": "http.request",
            "config": {"auth": {"basic": {"username": "u", "password": "canary-2"}}},
        },
        {"key": "other", "operation": "transform", "config": {"secret": "not one", "values": {}}},
    ],
    "flow": {"ask": {"type": "tool", "config": {"url": "https://x/", "auth": {"bearer": "canary-3"}}}, "odd": 5},
}


def test_found_in_every_form():
    assert dict(secret_places(DEFINITION)) == {
        "trigger.secret": "canary-0",
        "nodes.send.config.secret": "canary-1",
        "nodes.each.config.nodes.in.config.secret": "canary-1",
        "nodes.ask.config.auth.basic.password": "canary-2",
        "flow.ask.config.auth.bearer": "canary-3",
    }
    assert "canary" not in repr(masked(DEFINITION))
    assert masked(DEFINITION)["nodes"][4] == DEFINITION["nodes"][4]


def test_sealed_and_opened_again():
    secrets = known_secrets()
    before = msgspec.json.encode(DEFINITION)
    sealed = secrets.seal(DEFINITION, "org", "w-1")
    assert "canary" not in repr(sealed)
    assert secrets.open(sealed, "org", "w-1") == DEFINITION
    assert msgspec.json.encode(DEFINITION) == before  # what was given is not touched
    for org_id, workflow_id in (("other", "w-1"), ("org", "w-2")):
        with pytest.raises(UnsealError):
            secrets.open(sealed, org_id, workflow_id)
    moved = msgspec.json.decode(msgspec.json.encode(sealed))
    moved["trigger"]["secret"] = moved["nodes"][0]["config"]["secret"]
    with pytest.raises(UnsealError):
        secrets.open(moved, "org", "w-1")


def test_fingerprints_tell_contents_apart_and_nothing_else():
    secrets = known_secrets()
    same = secrets.to_compare(DEFINITION)
    assert same == secrets.to_compare(DEFINITION)
    changed = DEFINITION | {"trigger": {"type": "webhook", "secret": "canary-9"}}
    assert secrets.to_compare(changed) != same
    assert "canary" not in repr(same)


def test_a_mask_keeps_what_was_there():
    secrets = known_secrets()
    stored = secrets.seal(DEFINITION, "org", "w-1")
    shown = masked(DEFINITION)
    assert secrets.fill_in(shown, stored, "org", "w-1") == DEFINITION
    with pytest.raises(AlloydError) as caught:
        secrets.fill_in(shown, None, "org", "")
    assert caught.value.field == "trigger.secret"
    shown["nodes"][0]["key"] = "renamed"
    with pytest.raises(AlloydError) as caught:
        secrets.fill_in(shown, stored, "org", "w-1")
    assert caught.value.field == "nodes.renamed.config.secret"


@pytest.mark.parametrize(
    "definition",
    [
        {},
        {"nodes": 5, "flow": 5, "trigger": 5},
        {"nodes": [5, {"operation": 5, "config": {}}, {"operation": "webhook.send", "config": 5}]},
        {"nodes": [{"operation": "webhook.send", "config": {"secret": 5}}]},
        {"nodes": [{"operation": "http.request", "config": {"auth": "text"}}]},
        {"trigger": {"type": "webhook"}},
        {"trigger": {"type": "event", "secret": "x"}},
    ],
)
def test_unsound_definitions_hold_none(definition):
    assert list(secret_places(definition)) == []
    assert masked(definition) is definition
