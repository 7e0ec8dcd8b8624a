from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from alloyd.domain.idempotency.model import Once
from alloyd.errors import AlloydError, Code
from alloyd.principal import system_principal
from alloyd.wire.idempotency import read_once, read_once_of
from alloyd.wire.route import SIGNED_IN, Call, Route


async def _nothing(_call: Call) -> None:
    return None


def _call(body: bytes = b"{}", keys: tuple[str, ...] = (), id_: str = "") -> Call:
    headers = CIMultiDict([("Idempotency-Key", key) for key in keys])
    request = make_mocked_request("POST", "/v1/things", headers=headers, match_info={"id": id_} if id_ else {})
    call = Call(request, Route("POST", "/things", _nothing, SIGNED_IN, "x"), "r")
    call.body_bytes = body
    call.principal = system_principal("org")
    return call


def _digest(body: bytes, id_: str = "", leave_out: tuple[str, ...] = ()) -> str:
    once = read_once(_call(body, ("k",), id_), leave_out=leave_out)
    assert once is not None
    return once.digest


def test_without_a_key_there_is_none() -> None:
    assert read_once(_call()) is None
    assert read_once_of(_call(), "d") is None


def test_key_from_header_or_body() -> None:
    by_header, by_body = read_once(_call(keys=("k",))), read_once(_call(), "k")
    assert by_header == by_body == read_once(_call(keys=("k",)), "k")
    assert by_header is not None
    assert (by_header.key, by_header.route) == ("k", "control POST /things")


def test_digest_of_a_body_that_is_not_json() -> None:
    assert read_once_of(_call(b"\xff", ("k",)), "d") == Once("control POST /things", "k", "d")


@pytest.mark.parametrize(
    ("keys", "body_key", "field"),
    [
        (("a", "a"), None, "Idempotency-Key"),
        (("",), None, "Idempotency-Key"),
        (("a b",), None, "Idempotency-Key"),
        (("x" * 256,), None, "Idempotency-Key"),
        (("ä",), None, "Idempotency-Key"),
        ((), "", "idempotency_key"),
        ((), "ä", "idempotency_key"),
        (("a",), "b", "idempotency_key"),
    ],
)
def test_refused_key_names_where_it_stood(keys: tuple[str, ...], body_key: str | None, field: str) -> None:
    with pytest.raises(AlloydError) as caught:
        read_once(_call(keys=keys), body_key)
    assert (caught.value.code, caught.value.field) == (Code.BAD_REQUEST, field)
    assert field in caught.value.message


def test_same_request_has_the_same_digest() -> None:
    assert _digest(b'{"a": 1, "b": [2]}') == _digest(b'{"b":[2],"a":1}')
    assert _digest(b"") == _digest(b"{}")


def test_other_request_has_another_digest() -> None:
    digests = {_digest(body) for body in (b"{}", b'{"a":1}', b'{"a":2}', b'{"a":"1"}', b"[]", b'{"a":1.5}', b"null")}
    assert len(digests) == 7
    assert _digest(b"{}", "x") != _digest(b"{}", "y") != _digest(b"{}")


def test_secret_member_is_left_out_of_the_digest() -> None:
    one, other = b'{"email":"a","password":"x"}', b'{"email":"a","password":"y"}'
    assert _digest(one) != _digest(other)
    assert _digest(one, leave_out=("password",)) == _digest(other, leave_out=("password",)) == _digest(b'{"email":"a"}')
