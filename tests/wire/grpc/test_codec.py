"""Messages to JSON values and back: nothing changes on the way."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from alloyd.wire.grpc import codec

SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
JSON = st.recursive(
    SCALARS | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5))
def test_any_json_object_survives(values: dict[str, Any]) -> None:
    message = struct_pb2.Struct()
    codec._set_message(message, values)
    back = codec._struct_to_json(struct_pb2.Struct.FromString(message.SerializeToString()))
    assert back == values


@pytest.mark.parametrize(("given_number", "back"), [(1, 1), (1.0, 1), (1.5, 1.5), (2.0**60, 2.0**60), (-0.0, 0)])
def test_whole_numbers_come_back_whole(given_number: float, back: float) -> None:
    message = struct_pb2.Value()
    codec._set_message(message, given_number)
    found = codec._value_to_json(message)
    assert found == back
    assert type(found) is type(back)


def test_nulls_and_unknown_names_are_left_out() -> None:
    message = struct_pb2.Value()
    codec.fill(message, {"string_value": None, "no_such_field": 1})
    assert message.WhichOneof("kind") is None
