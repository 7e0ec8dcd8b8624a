from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request

from alloyd.errors import AlloydError
from alloyd.wire.body import decode_query


class Query(msgspec.Struct):
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None
    enabled: bool | None = None
    name: str | None = None
    from_: int | None = msgspec.field(default=None, name="from")


def read(query: str) -> Query:
    found: Query = decode_query(make_mocked_request("GET", f"/things?{query}"), Query)
    return found


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", Query()),
        ("limit=5&enabled=true&from=7", Query(5, True, None, 7)),
        ("limit=5&limit=no", Query(5)),
        ("other=null&name=x", Query(name="x")),
        ("name=null", Query(name="null")),
    ],
)
def test_a_query(query: str, wanted: Query) -> None:
    assert read(query) == wanted


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=null", "limit"),
        ("limit=NULL&limit=5", "limit"),
        ("enabled=null", "enabled"),
        ("from=null", "from"),
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("name=%00", "name"),
        ("name=%ff", "name"),
    ],
)
def test_a_bad_query(query: str, field: str) -> None:
    with pytest.raises(AlloydError) as caught:
        read(query)
    assert caught.value.field == field
    assert field in caught.value.message
