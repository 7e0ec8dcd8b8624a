from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from alloyd.domain.authz import model as authz
from alloyd.domain.idempotency.model import check_key
from alloyd.domain.orgs.model import check_name, check_slug
from alloyd.domain.users.model import normalize_email
from alloyd.domain.webhooks import model as webhooks
from alloyd.domain.workflows.releases import check_label
from alloyd.errors import AlloydError, Code
from alloyd.kit.paths import parse_name, parse_path
from alloyd.wire import fields
from alloyd.wire.control.usage import time_of
from alloyd.wire.control.workflow_runs import read_time

CASES: list[tuple[Any, Callable[[Any], Any], list[Any], list[Any]]] = [
    (fields.Slug, check_slug, ["ab", "a-b", "x" * 63], ["", "a", "-a", "a-", "Ab", "a\n", "admin", "x" * 64]),
    (
        fields.Name,
        check_name,
        ["a", "Ünïcode 名前", "a b", "x" * 200, "\U0001fae9"],
        ["", " ", " a", "a ", "a\n", "a\x00b", "a\u2028b", "a\u202eb", "a\ufeffb", "\ufffe", "x" * 201],
    ),
    (fields.Email, normalize_email, ["a@b.example", "A+b@c.example"], ["", "a", "a@", "@b", "a b@c.example"]),
    (fields.IdempotencyKey, lambda key: check_key(key, "key"), ["a", "~", "x" * 255], ["", " ", "a b", "é", "x" * 256]),
    (fields.Time, lambda text: read_time(text, "at"), ["2026-01-31T12:00:00Z"], ["2026-01-31", "now", ""]),
    (fields.TimeOrDate, lambda text: time_of(text, "at"), ["2026-01-31T12:00:00+01:00", "2026-01-31"], ["now", ""]),
    (fields.GrantedAction, authz.actions_of, ["workflow.run", "workflow.*"], ["workflow", "*", "no.such"]),
    (fields.CheckedResource, authz.parse_resource, ["workflow:a", "x:*"], ["workflow", ":a", "workflow:"]),
    (
        fields.Url,
        webhooks.check_url,
        ["https://a.example/x", "http://a.example"],
        ["", "a", "/x", "https://", "ftp://a.example/x"],
    ),
    (
        fields.EventPatterns,
        webhooks.check_patterns,
        [["*"], ["order.paid", "order.*"]],
        [[], ["Order"], ["a."], ["*"] * 51],
    ),
    (
        fields.WebhookSecret,
        webhooks.check_secret,
        ["x" * 16, "x y" * 8],
        ["x" * 15, "x" * 257, " " + "x" * 16, "é" * 16],
    ),
    (fields.ReleaseLabel, check_label, ["1.0.0", "a", "x" * 64], ["", ".1", "a b", "x" * 65]),
    (fields.FileName, parse_name, ["a", ".a", "a b.txt", "é"], ["", ".", "..", " ", "a/b", "a\\b", "a\nb"]),
    (fields.StoragePath, parse_path, ["", "/", "//", "a", "/a/b/", "a/.b"], ["///", "a//b", "a/../b", "a\\b", "a\x7f"]),
    (fields.BelowRoot, parse_path, ["a", "/a/b/"], ["a//b", "./a"]),
]


@pytest.mark.parametrize(("kind", "check", "good", "bad"), CASES)
def test_what_is_told_is_what_is_checked(
    kind: Any, check: Callable[[Any], Any], good: list[Any], bad: list[Any]
) -> None:
    told = jsonschema_rs.Draft202012Validator(msgspec.json.schema(kind), validate_formats=True)
    for value in good:
        assert told.is_valid(value), value
        check(value)
    for value in bad:
        assert not told.is_valid(value), value
        with pytest.raises(AlloydError) as caught:
            check(value)
        assert caught.value.code is Code.BAD_REQUEST


def test_the_root_is_not_below_itself() -> None:
    told = jsonschema_rs.Draft202012Validator(msgspec.json.schema(fields.BelowRoot))
    assert not told.is_valid("/")
    assert not told.is_valid("")
