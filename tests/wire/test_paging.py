from __future__ import annotations

import base64
import hashlib

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from alloyd.errors import AlloydError, Code
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import SIGNED_IN, Call, Route


async def _nothing(_call: Call) -> None:
    return None


def _call(path: str) -> Call:
    return Call(make_mocked_request("GET", path), Route("GET", "/x", _nothing, SIGNED_IN, "x"), "r")


PAGER = Pager("things", PageLimits(50, 200), int, str)


@given(st.integers(-(2**63), 2**63 - 1), st.text(max_size=60).filter(lambda text: text.isprintable()))
def test_cursor_round_trip(number: int, text: str) -> None:
    assert PAGER.decode(PAGER.encode((number, text))) == (number, text)


@given(st.text(max_size=200))
def test_no_text_but_an_own_cursor_is_taken(text: str) -> None:
    with pytest.raises(AlloydError) as caught:
        PAGER.decode(text)
    assert (caught.value.code, caught.value.field) == (Code.BAD_REQUEST, "cursor")


def test_each_altered_character_is_refused() -> None:
    cursor = PAGER.encode((17, "abc"))
    for at in range(len(cursor)):
        other = "A" if cursor[at] != "A" else "B"
        with pytest.raises(AlloydError, match="cursor"):
            PAGER.decode(cursor[:at] + other + cursor[at + 1 :])


def test_other_lists_cursor_is_refused() -> None:
    with pytest.raises(AlloydError, match="cursor"):
        PAGER.decode(Pager("others", PageLimits(), int, str).encode((1, "a")))


def test_number_that_the_database_cannot_hold_is_refused_even_with_a_right_check() -> None:
    data = msgspec.json.encode((2**63, "a"))
    check = hashlib.blake2s(data, digest_size=6, key=b"things").digest()
    with pytest.raises(AlloydError, match="cursor"):
        PAGER.decode(base64.urlsafe_b64encode(check + data).rstrip(b"=").decode())


@pytest.mark.parametrize(("asked", "limit"), [(None, 50), (1, 1), (200, 200)])
def test_limit(asked: int | None, limit: int) -> None:
    page = PAGER.read(PageQuery(limit=asked))
    assert (page.limit, page.fetch, page.after) == (limit, limit + 1, None)


def test_limit_over_the_bound_is_named() -> None:
    with pytest.raises(AlloydError) as caught:
        PAGER.read(PageQuery(limit=201))
    assert caught.value.field == "limit"


def test_next_link_keeps_the_filters_and_replaces_the_cursor() -> None:
    call = _call("/v1/things/?status=ready&limit=2&cursor=old")
    page = PAGER.read(PageQuery(limit=2))
    rows = [(3, "c"), (2, "b"), (1, "a")]
    assert list(PAGER.cut(call, page, rows, lambda row: row)) == rows[:2]
    assert call.links is not None
    assert call.links["next"] == f"/v1/things/?status=ready&limit=2&cursor={PAGER.encode((2, 'b'))}"


def test_last_page_has_no_next_link() -> None:
    call = _call("/v1/things")
    rows = [(3, "c"), (2, "b")]
    assert PAGER.cut(call, PAGER.read(PageQuery(limit=2)), rows, lambda row: row) == rows
    assert call.links is None
