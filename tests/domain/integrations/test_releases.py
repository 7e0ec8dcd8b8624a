"""Which release an installation gets, and that it never moves back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloyd.domain.integrations.releases import choose_upgrade, find_release
from alloyd.domain.workflows.numbered import Numbered, is_numbered
from alloyd.errors import AlloydError, Code

labels = st.lists(st.integers(0, 12), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
releases = st.dictionaries(labels, st.integers(1, 50), min_size=1, max_size=8).map(
    lambda found: sorted((Numbered(*one) for one in found.items()), key=lambda one: one.order, reverse=True)
)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.0.0", "2.0.0"),
        ("9.0.0", "10.0.0"),
        ("1.9", "1.10"),
        ("1.0.0", "1.0.1"),
        ("1", "1.0.1"),
        ("0.9.9", "1"),
        ("0", "0.0.1"),
    ],
)
def test_order_is_of_numbers(older: str, newer: str) -> None:
    assert Numbered(older, 9).order < Numbered(newer, 1).order


def test_trailing_zeros_say_nothing() -> None:
    assert Numbered("1.0", 1).order == Numbered("1.0.0", 1).order == Numbered("01", 1).order


@pytest.mark.parametrize(
    ("label", "numbered"),
    [
        ("1.0.0", True),
        ("7", True),
        ("beta", False),
        ("1.0.0-rc1", False),
        ("v1", False),
        ("1.", False),
        (".1", False),
        ("1..2", False),
        ("1.0\n", False),
        ("\u0661", False),
        ("", False),
    ],
)
def test_only_dotted_numbers_are_releases(label: str, numbered: bool) -> None:
    assert is_numbered(label) is numbered


def test_of_a_draft_there_is_nothing_to_install() -> None:
    with pytest.raises(AlloydError) as caught:
        find_release([], None)
    assert caught.value.code is Code.NOT_FOUND
    with pytest.raises(AlloydError) as caught:
        find_release([], "1.0.0")
    assert (caught.value.code, caught.value.field) == (Code.BAD_REQUEST, "version")


@given(releases)
def test_without_a_label_the_newest_is_installed(found: list[Numbered]) -> None:
    assert find_release(found, None) == max(found, key=lambda one: one.order)


@given(releases, st.data())
def test_an_upgrade_never_goes_back(found: list[Numbered], data: st.DataObject) -> None:
    current = data.draw(st.sampled_from(found))
    label = data.draw(st.none() | st.sampled_from([one.label for one in found]) | labels)
    known = {one.label: one for one in found}
    if label is not None and (label not in known or known[label].order < current.order):
        with pytest.raises(AlloydError) as caught:
            choose_upgrade(found, current, label)
        assert (caught.value.code, caught.value.field) == (Code.BAD_REQUEST, "version")
        return
    moved = choose_upgrade(found, current, label)
    assert moved in found
    assert moved.order >= current.order
    assert label in (None, moved.label)
    assert choose_upgrade(found, moved, label) == moved  # again it changes nothing
    if label is None:
        assert moved.order == found[0].order


@given(releases)
def test_the_current_release_is_always_allowed(found: list[Numbered]) -> None:
    for current in found:
        assert choose_upgrade(found, current, current.label) == current


def test_what_was_installed_before_the_first_release_moves_to_it() -> None:
    """Then the published version counted as 1.0.0; the real 1.0.0 may be a newer content, and is never an older one."""
    implied = Numbered("1.0.0", 3)
    for version, moved in ((2, 3), (3, 3), (4, 4)):
        for label in ("1.0.0", None):
            assert choose_upgrade([Numbered("1.0.0", version)], implied, label).version == moved
