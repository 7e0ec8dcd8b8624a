from __future__ import annotations

import pytest

from alloyd.domain.users.model import check_password, normalize_email
from alloyd.errors import AlloydError


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("ann@example.com", "ann@example.com"),
        (" Ann.Lee+x@EXAMPLE.Com ", "ann.lee+x@example.com"),
        ("a@localhost", "a@localhost"),
        ("o'hara@ex-ample.co", "o'hara@ex-ample.co"),
    ],
)
def test_email(given: str, kept: str) -> None:
    assert normalize_email(given) == kept


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ann",
        "@example.com",
        "ann@",
        "ann@@example.com",
        "ann@-example.com",
        "ann@example-.com",
        "ann@example..com",
        ".ann@example.com",
        "ann.@example.com",
        "a nn@example.com",
        "ann@example.com\nbcc:x@y",
        "ann@example.com\x00",
        "аnn@example.com",  # a Cyrillic letter
        "Kelvin\u212a@example.com",  # folds to an ASCII k
        "a" * 65 + "@example.com",
        "a@" + "b" * 64 + ".com",
        "a@" + ".".join(["b" * 60] * 5),
    ],
)
def test_no_email(email: str) -> None:
    with pytest.raises(AlloydError) as caught:
        normalize_email(email)
    assert caught.value.field == "email"


@pytest.mark.parametrize("password", ["x" * 12, "pass phrase 123", "ünïcödé-ü", "x" * 1024])
def test_password(password: str) -> None:
    check_password(password, 12)


@pytest.mark.parametrize(
    "password", ["", "x" * 11, "x" * 1025, "x" * 12 + "\x00", "x" * 12 + "\n", "x" * 12 + "\udcff"]
)
def test_refused_password_is_not_repeated(password: str) -> None:
    with pytest.raises(AlloydError) as caught:
        check_password(password, 12)
    assert caught.value.field == "password"
    assert "xxx" not in repr(caught.value)
