"""Sealed secrets: opened with the same key and for the same thing only."""

from __future__ import annotations

import base64

import pytest

from alloyd.kit.crypto import Sealer, UnsealError, derive_key

KEY = bytes(range(32))


def test_round_trip_and_never_the_same_twice() -> None:
    sealer = Sealer(KEY)
    first, second = sealer.seal(b"secret", "org/webhooks/1"), sealer.seal(b"secret", "org/webhooks/1")
    assert first != second
    assert b"secret" not in base64.urlsafe_b64decode(first.partition(":")[2])
    assert sealer.unseal(first, "org/webhooks/1") == sealer.unseal(second, "org/webhooks/1") == b"secret"


def test_another_place_or_key_does_not_open_it() -> None:
    sealed = Sealer(KEY).seal(b"secret", "org/webhooks/1")
    for sealer, about in [(Sealer(KEY), "org/webhooks/2"), (Sealer(bytes(32)), "org/webhooks/1")]:
        with pytest.raises(UnsealError) as raised:
            sealer.unseal(sealed, about)
        assert "secret" not in str(raised.value).replace("sealed secret", "")


def test_every_changed_character_is_noticed() -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal(b"xy", "a")  # 30 bytes in all: each bit of its base64 counts
    for at in range(len(sealed)):
        other = "A" if sealed[at] != "A" else "B"
        with pytest.raises(UnsealError):
            sealer.unseal(sealed[:at] + other + sealed[at + 1 :], "a")


@pytest.mark.parametrize("text", ["", "s1:", "s1:AAAA", "plain", "s2:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "s1:é"])
def test_what_was_never_sealed_is_refused(text: str) -> None:
    with pytest.raises(UnsealError):
        Sealer(KEY).unseal(text, "a")


def test_keys_of_purposes_differ() -> None:
    assert derive_key(KEY, "a") != derive_key(KEY, "b")
    assert derive_key(KEY, "a") == derive_key(KEY, "a") != KEY


def test_a_newer_key_seals_and_the_older_ones_open() -> None:
    first, second = Sealer(KEY), Sealer(KEY, {"2": bytes(32)})
    old = first.seal(b"secret", "a")
    assert second.unseal(old, "a") == b"secret"
    fresh = second.reseal(old, "a")
    assert fresh is not None
    assert fresh.startswith("s2:2:")
    assert second.unseal(fresh, "a") == b"secret"
    assert second.reseal(fresh, "a") is None
    for sealer, text in ((first, fresh), (second, fresh.replace("s2:2:", "s2:3:")), (second, "s1:" + fresh[5:])):
        with pytest.raises(UnsealError):
            sealer.unseal(text, "a")
