"""How a route's msgspec types look as protobuf fields: what the .proto is written from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import inspect as types

ANY: Final = "google.protobuf.Value"
OBJECT: Final = "google.protobuf.Struct"

_SCALARS: Final[dict[type, str]] = {
    types.StrType: "string",
    types.BoolType: "bool",
    types.IntType: "int64",
    types.FloatType: "double",
    types.DateTimeType: "string",
    types.EnumType: "string",
    types.BytesType: "bytes",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A field's type: a scalar or a message; ``label`` is what stands before it (optional, repeated, or nothing)."""

    name: str
    label: str = ""


@dataclass(slots=True)
class Message:
    """A message and its fields in order, by name."""

    name: str
    fields: dict[str, Kind] = field(default_factory=dict)
    doc: str = ""


class Messages:
    """Collects the messages that structs become, each once by its name."""

    def __init__(self) -> None:
        self.by_name: dict[str, Message] = {}
        self._struct_of: dict[str, type] = {}
        self._name_of: dict[type, str] = {}

    def add(self, message: Message) -> None:
        """A message that no struct stands for: a request, or a page of a list. Raises ValueError for a name twice."""
        if message.name in self.by_name:
            raise ValueError(f"two messages are called {message.name}")
        self.by_name[message.name] = message

    def of_struct(self, struct: type) -> str:
        """The name of the message of a msgspec struct, which is made with all that it holds.

        Structs that are alike share a message; of two that only are called alike the later one has its module's name in
        front.
        """
        named = self._name_of.get(struct)
        if named is not None:
            return named
        name = message_name(struct)
        if name in self.by_name:
            known = self._struct_of[name]
            if _shape(known) == _shape(struct):
                self._name_of[struct] = name
                return name
            name = "".join(word.title() for word in struct.__module__.rpartition(".")[2].split("_")) + name
        self._name_of[struct] = name
        self._struct_of[name] = struct
        message = Message(name, doc=first_sentence(struct))
        self.add(message)
        message.fields = self.fields_of(struct, presence=False)
        return name

    def fields_of(self, struct: type, *, presence: bool) -> dict[str, Kind]:
        """The fields of a struct. With ``presence`` a scalar that was not sent can be told from an empty one."""
        info = types.type_info(struct)
        assert isinstance(info, types.StructType)
        return {
            part.encode_name: self.kind_of(part.type, presence=presence or not part.required) for part in info.fields
        }

    def kind_of(self, given: types.Type, *, presence: bool = False) -> Kind:
        """What stands for a type; what protobuf has no type for is any JSON value."""
        if isinstance(given, types.Metadata):
            return self.kind_of(given.type, presence=presence)
        if isinstance(given, types.UnionType):
            rest = [part for part in given.types if not isinstance(part, types.NoneType)]
            if len(rest) != 1:
                return Kind(ANY)
            inner = self.kind_of(rest[0])
            return Kind(inner.name, inner.label or "optional")
        if isinstance(given, _LISTS):
            inner = self.kind_of(given.item_type)
            return (
                Kind(ANY)
                if inner.label == "repeated" or inner.name.startswith("map<")
                else Kind(inner.name, "repeated")
            )
        if isinstance(given, types.DictType):
            inner = self.kind_of(given.value_type)
            if inner.name in (ANY, OBJECT) or inner.label:
                return Kind(OBJECT)
            return Kind(f"map<string, {inner.name}>")
        if isinstance(given, types.StructType):
            return Kind(self.of_struct(given.cls))
        if isinstance(given, types.LiteralType):
            return Kind(
                "string" if all(isinstance(value, str) for value in given.values) else ANY,
                "optional" if presence else "",
            )
        scalar = _SCALARS.get(type(given))
        return Kind(ANY) if scalar is None else Kind(scalar, "optional" if presence else "")


_LISTS = types.ListType | types.VarTupleType | types.SetType | types.FrozenSetType


def _shape(struct: type) -> Any:
    info = types.type_info(struct)
    assert isinstance(info, types.StructType)
    return [(part.encode_name, part.type) for part in info.fields]


def message_name(struct: type) -> str:
    """A struct's name without the endings that only tell which side of the wire it stands on."""
    return re.sub(r"(Json|Body|JSON)\Z", "", struct.__name__) or struct.__name__


def first_sentence(documented: Any) -> str:
    """The first line of a docstring."""
    return (documented.__doc__ or "").strip().partition("\n")[0]
