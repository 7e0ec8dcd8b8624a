"""Between protobuf messages and the JSON values that routes take and give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_INTEGRAL_MAX: Final = float(2**53)
_STRUCT: Final = "google.protobuf.Struct"
_VALUE: Final = "google.protobuf.Value"
_LIST: Final = "google.protobuf.ListValue"


def to_json(message: Message) -> dict[str, Any]:
    """The fields that were sent, by name; JSON values inside come back as what they were, whole numbers as such."""
    return {field.name: _field_to_json(field, value) for field, value in message.ListFields()}


def _field_to_json(field: FieldDescriptor, value: Any) -> Any:
    inner = _map_value(field)
    if inner is not None:
        return {key: _one_to_json(inner, each) for key, each in value.items()}
    if field.is_repeated:
        return [_one_to_json(field, each) for each in value]
    return _one_to_json(field, value)


def _one_to_json(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is None:
        return value
    name = field.message_type.full_name
    if name == _STRUCT:
        return _struct_to_json(value)
    if name == _VALUE:
        return _value_to_json(value)
    return to_json(value)


def _struct_to_json(struct: Any) -> dict[str, Any]:
    return {key: _value_to_json(value) for key, value in struct.fields.items()}


def _value_to_json(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _struct_to_json(value.struct_value)
    if kind == "list_value":
        return [_value_to_json(each) for each in value.list_value.values]
    if kind == "number_value":
        number: float = value.number_value
        return int(number) if number.is_integer() and abs(number) <= _INTEGRAL_MAX else number
    return None if kind in (None, "null_value") else getattr(value, kind)


def fill(message: Message, values: Mapping[str, Any]) -> None:
    """Set the message's fields from a route's value; what the message does not have, and nulls, are left out."""
    fields = message.DESCRIPTOR.fields_by_name
    for name, value in values.items():
        field: Any = fields.get(name)
        if field is not None and value is not None:
            _set(message, field, value)


def _set(message: Message, field: FieldDescriptor, value: Any) -> None:
    inner: Descriptor | None = field.message_type
    of_map = _map_value(field)
    if of_map is not None:
        target = getattr(message, field.name)
        if of_map.message_type is None:
            target.update(value)
            return
        for key, each in value.items():
            _set_message(target[key], each)
    elif field.is_repeated:
        target = getattr(message, field.name)
        if inner is None:
            target.extend(value)
            return
        for each in value:
            _set_message(target.add(), each)
    elif inner is None:
        setattr(message, field.name, value)
    else:
        part = getattr(message, field.name)
        part.SetInParent()
        _set_message(part, value)


def _set_message(message: Any, value: Any) -> None:
    name = message.DESCRIPTOR.full_name
    if name == _STRUCT:
        for key, each in value.items():
            _set_value(message.fields[key], each)
    elif name == _VALUE:
        _set_value(message, value)
    else:
        fill(message, value)


def _set_value(message: Any, value: Any) -> None:
    if value is None:
        message.null_value = 0
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, int | float):
        message.number_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, Mapping):
        message.struct_value.SetInParent()
        for key, each in value.items():
            _set_value(message.struct_value.fields[str(key)], each)
    else:
        assert isinstance(value, Iterable)
        message.list_value.SetInParent()
        for each in value:
            _set_value(message.list_value.values.add(), each)


def _map_value(field: FieldDescriptor) -> Any:
    """The field of a map's values; None for a field that is no map."""
    entry = field.message_type
    return entry.fields_by_name["value"] if entry is not None and entry.GetOptions().map_entry else None
