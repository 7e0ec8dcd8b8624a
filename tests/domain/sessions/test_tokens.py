"""What is taken for a token: what this very program signed for this very use, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from alloyd.domain.sessions.model import TOKEN_CHARS_MAX, Claims
from alloyd.domain.sessions.tokens import ALGORITHM, CLOCK_LEEWAY_MS, Tokens
from alloyd.kit.clock import ManualClock

SECRET = bytes(range(32))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tokens(clock: ManualClock) -> Tokens:
    return Tokens(SECRET, clock)


def claims_at(clock: ManualClock, **other: Any) -> dict[str, Any]:
    now = clock.now_ms() // 1000
    good = {
        "iss": "alloyd",
        "aud": "control",
        "sub": "user",
        "iat": now,
        "nbf": now,
        "exp": now + 60,
        "jti": "j",
        "typ": "access",
        "epoch": 0,
        "org": "org",
    }
    return {name: value for name, value in {**good, **other}.items() if value is not ...}


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header: Any, payload: Any, secret: bytes = SECRET, digest: Any = hashlib.sha256) -> str:
    signed = f"{part(msgspec.json.encode(header))}.{part(msgspec.json.encode(payload))}"
    return f"{signed}.{part(hmac.new(secret, signed.encode(), digest).digest())}"


def header_of(tokens: Tokens, **other: Any) -> dict[str, Any]:
    good = {"alg": ALGORITHM, "kid": tokens.kid, "typ": "JWT"}
    return {name: value for name, value in {**good, **other}.items() if value is not ...}


def test_what_is_signed_is_known_again(tokens: Tokens, clock: ManualClock) -> None:
    claims = msgspec.convert(claims_at(clock), Claims)
    token = tokens.sign(claims)
    assert tokens.find_claims(token) == claims
    assert jwt.get_unverified_header(token) == header_of(tokens)
    assert tokens.find_claims(by_hand(header_of(tokens), claims_at(clock))) == claims  # so the forgeries below are near


def test_any_library_can_read_it(tokens: Tokens) -> None:
    now = ManualClock(4_000_000_000_000)
    token = Tokens(SECRET, now).sign(msgspec.convert(claims_at(now, iat=1, nbf=1), Claims))
    told = jwt.decode(token, SECRET, algorithms=["HS256"], audience="control", issuer="alloyd")
    assert (told["sub"], told["org"]) == ("user", "org")


def test_time(tokens: Tokens, clock: ManualClock) -> None:
    token = tokens.sign(msgspec.convert(claims_at(clock), Claims))
    clock.advance(60_000 - 1)
    assert tokens.find_claims(token) is not None
    clock.advance(1)
    assert tokens.find_claims(token) is None
    early = by_hand(
        header_of(tokens), claims_at(clock, nbf=clock.now_ms() // 1000 + 60, exp=clock.now_ms() // 1000 + 90)
    )
    assert tokens.find_claims(early) is None
    clock.advance(60_000 - CLOCK_LEEWAY_MS)
    assert tokens.find_claims(early) is not None


def test_a_signature_is_computed_once_and_few_are_remembered(
    tokens: Tokens, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alloyd.domain.sessions.tokens.VERIFIED_MAX", 3)
    computed: list[str] = []
    verify = tokens._verify
    monkeypatch.setattr(tokens, "_verify", lambda token: computed.append(token) or verify(token))
    several = [tokens.sign(msgspec.convert(claims_at(clock, jti=str(number)), Claims)) for number in range(4)]
    for token in (*several, *several[1:]):
        assert tokens.find_claims(token) is not None
    assert computed == several
    assert tokens.find_claims(several[0]) is not None
    assert computed == [*several, several[0]]
    changed = several[0][:-1] + ("A" if several[0][-1] != "A" else "E")
    assert tokens.find_claims(changed) is tokens.find_claims(several[0][:-1]) is None


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "HS384"},
        {"alg": "HS512"},
        {"alg": "RS256"},
        {"alg": "hs256"},
        {"alg": ...},
        {"kid": "other"},
        {"kid": ...},
        {"kid": "../../dev/null"},
        {"typ": "at+jwt"},
        {"typ": ...},
        {"crit": []},
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"b64": True},
        {"jku": "https://example.com/keys"},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"x5u": "https://example.com/cert"},
        {"zip": "DEF"},
        {"cty": "JWT"},
    ],
)
def test_header_is_no_choice(tokens: Tokens, clock: ManualClock, change: dict[str, Any]) -> None:
    assert tokens.find_claims(by_hand(header_of(tokens, **change), claims_at(clock))) is None


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "other"},
        {"aud": "embedded"},
        {"aud": ["control"]},
        {"aud": ["control", "other"]},
        {"typ": "refresh"},
        {"sub": 7},
        {"sub": None},
        {"exp": "9999999999"},
        {"exp": 1e400},
        {"exp": 9999999999.5},
        {"exp": None},
        {"nbf": True},
        {"epoch": "0"},
        {"org": 1},
        *[{name: ...} for name in ("iss", "aud", "sub", "iat", "nbf", "exp", "jti", "typ", "epoch")],
    ],
)
def test_claims_are_as_they_are_signed(tokens: Tokens, clock: ManualClock, change: dict[str, Any]) -> None:
    assert tokens.find_claims(by_hand(header_of(tokens), claims_at(clock, **change))) is None


def test_another_key_or_algorithm_signs_nothing(tokens: Tokens, clock: ManualClock) -> None:
    header, claims = header_of(tokens), claims_at(clock)
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = rsa_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = rsa_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    unsigned = f"{part(msgspec.json.encode(header_of(tokens, alg='none')))}.{part(msgspec.json.encode(claims))}."
    good = by_hand(header, claims)
    forged = [
        by_hand(header, claims, b"\0" * 32),
        by_hand(header, claims, public),
        by_hand(header, claims, b""),
        by_hand(header, claims, SECRET, hashlib.sha512),
        jwt.encode(claims, pem, algorithm="RS256", headers=header_of(tokens, alg=...)),
        unsigned,
        unsigned.rstrip("."),
        f"{good.rpartition('.')[0]}.",
        good[:-1],
        good + "A",
        good.replace(".", "..", 1),
        f"{good}.{good}",
        Tokens(bytes(32), clock).sign(msgspec.convert(claims, Claims)),
    ]
    assert tokens.find_claims(good) is not None
    assert [token for token in forged if tokens.find_claims(token) is not None] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "é.é.é",
        "\udcff",
        "e30.e30.e30",
        f"{part(b'[]')}.{part(b'[]')}.",
        f"{part(b'null')}.e30.e30",
        f"{part(b'{' * 900)}.e30.e30",
        f"{part(b'[' * 1500)}.e30.e30",
        "A" * (TOKEN_CHARS_MAX + 1),
    ],
)
def test_nonsense(tokens: Tokens, text: str) -> None:
    assert tokens.find_claims(text) is None


def test_payload_that_is_no_claims(tokens: Tokens) -> None:
    for payload in ([], "text", 1, None, {}, {"a": {"b": {}}}):
        assert tokens.find_claims(by_hand(header_of(tokens), payload)) is None
