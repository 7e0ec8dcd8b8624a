"""What an end user may be called."""

from __future__ import annotations

import pytest

from alloyd.domain.endusers.model import check_full_name, check_username, is_end_user_id, new_end_user_id
from alloyd.errors import AlloydError

AN_ID = f"usr_{'0123456789abcdef' * 2}"


@pytest.mark.parametrize(
    "name", ["a", "ann@example.com", "user-123", "Zoë Ünal", "用户", "a b", "x" * 255, "usr_1", "../x"]
)
def test_any_line_is_a_username(name: str) -> None:
    assert check_username(name) == name


@pytest.mark.parametrize("name", ["", " ", "x" * 256, "a\nb", "a\0", "\u202ea", "\ud800", AN_ID])
def test_what_is_no_username(name: str) -> None:
    with pytest.raises(AlloydError) as caught:
        check_username(name)
    assert caught.value.field == "username"


def test_ids_sort_by_age_and_look_like_ids() -> None:
    made = [new_end_user_id() for _ in range(100)]
    assert made == sorted(made)
    assert len(set(made)) == 100
    assert all(is_end_user_id(one) for one in made)
    assert not any(is_end_user_id(text) for text in ("usr_", "usr_1", made[0].upper(), made[0] + "\n"))


def test_full_names() -> None:
    assert check_full_name(None) is check_full_name("") is None
    assert check_full_name("Ann") == "Ann"
    for bad in ("a\nb", "x" * 256, " "):
        with pytest.raises(AlloydError):
            check_full_name(bad)
