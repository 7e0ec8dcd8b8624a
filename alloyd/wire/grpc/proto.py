"""Writes the .proto from the routes; a field keeps the number that the file already gives it.

Made anew by `make openapi`; what runs reads the compiled form of the file beside it. A test compares all three.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import inspect as types

from alloyd.wire.grpc.methods import BODY, PAGES, SERVICES, STREAMS, Method, path_parameters
from alloyd.wire.grpc.types import OBJECT, Kind, Message, Messages
from alloyd.wire.route import Route

PACKAGE: Final = "alloyd.v1"
FILE: Final = "alloyd/v1/alloyd.proto"

_HEAD: Final = f"""// alloyd's control plane: each method is a route of /v1, with its permission and its answer.
// Made by `make openapi` from the routes; a field never changes its number.
syntax = "proto3";

package {PACKAGE};

import "google/protobuf/struct.proto";
"""
_MESSAGE: Final = re.compile(r"^message (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD: Final = re.compile(r"^ {2}(?:[\w.<>, ]+) (\w+) = (\d+);", re.MULTILINE)
_RESERVED: Final = re.compile(r"^ {2}reserved ([\d, ]+);", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Call:
    """One method as the .proto has it."""

    method: Method
    request: str
    response: str


class ProtoFile:
    """The whole file. Raises ValueError for a method whose route is not there."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.messages = Messages()
        self.calls: dict[str, list[Call]] = {}
        by_place = {(route.method, route.path): route for route in routes}
        for service, methods in SERVICES.items():
            self.calls[service] = [self._call(method, by_place) for method in methods]

    def _call(self, method: Method, by_place: Mapping[tuple[str, str], Route]) -> Call:
        route = by_place.get((method.verb, method.path))
        if route is None:
            raise ValueError(f"{method.name}: there is no route {method.verb} {method.path}")
        request = Message(f"{method.name}Request", doc=f"`{method.verb} /v1{method.path}`")
        for name in path_parameters(method.path):
            request.fields[name] = Kind("string")
        structs: list[Any] = [route.query, route.body]
        for struct in structs:
            if hasattr(struct, "__struct_fields__"):
                for name, kind in self.messages.fields_of(struct, presence=True).items():
                    if name != "ticket":  # a browser's; a credential is in the metadata here
                        request.fields.setdefault(name, kind)
        if route.body is not None and not hasattr(route.body, "__struct_fields__"):
            request.fields[BODY] = Kind(OBJECT)
        self.messages.add(request)
        return Call(method, request.name, self._response(method, route))

    def _response(self, method: Method, route: Route) -> str:
        if method.name in STREAMS:
            return self.messages.of_struct(STREAMS[method.name])
        output = None if route.output is None else types.type_info(route.output)
        if isinstance(output, types.StructType):
            return self.messages.of_struct(output.cls)
        message = Message(f"{method.name}Response")
        if isinstance(output, types.ListType):
            message.fields[PAGES] = self.messages.kind_of(output)
            message.fields["next_cursor"] = Kind("string", "optional")
        elif output is not None:
            message.fields["value"] = self.messages.kind_of(output)
        self.messages.add(message)
        return message.name

    def render(self, earlier: str) -> str:
        """The text; fields that ``earlier`` has keep their numbers, and numbers of fields that went stay reserved."""
        numbers = dict(_numbers(earlier))
        reserved = dict(_reserved(earlier))
        parts = [_HEAD]
        for service, calls in self.calls.items():
            lines = [f"service {service} {{"]
            methods = {call.method.name for call in calls}
            for call in calls:
                streams = "stream " if call.method.name in STREAMS else ""
                # Inside of a service its methods' names hide the messages'.
                response = f".{PACKAGE}.{call.response}" if call.response in methods else call.response
                lines += [f"  // {call.method.verb} /v1{call.method.path}"]
                lines += [f"  rpc {call.method.name}({call.request}) returns ({streams}{response});"]
            parts.append("\n".join([*lines, "}\n"]))
        for name in sorted(self.messages.by_name):
            message = self.messages.by_name[name]
            parts.append(_render_message(message, numbers.get(name, {}), reserved.get(name, frozenset())))
        return "\n".join(parts)


def _render_message(message: Message, known: Mapping[str, int], reserved: frozenset[int]) -> str:
    gone = reserved | {number for name, number in known.items() if name not in message.fields}
    taken = gone | set(known.values())
    lines = [f"// {message.doc}"] if message.doc else []
    lines.append(f"message {message.name} {{")
    if gone:
        lines.append(f"  reserved {', '.join(map(str, sorted(gone)))};")
    for name, kind in message.fields.items():
        number = known.get(name)
        if number is None:
            number = next(free for free in range(1, 1 << 20) if free not in taken and not 19_000 <= free < 20_000)
            taken = taken | {number}
        lines.append(f"  {kind.label + ' ' if kind.label else ''}{kind.name} {name} = {number};")
    return "\n".join([*lines, "}\n"])


def _numbers(text: str) -> Iterator[tuple[str, dict[str, int]]]:
    for name, inside in _MESSAGE.findall(text):
        yield name, {field: int(number) for field, number in _FIELD.findall(inside)}


def _reserved(text: str) -> Iterator[tuple[str, frozenset[int]]]:
    for name, inside in _MESSAGE.findall(text):
        found = _RESERVED.search(inside)
        yield name, frozenset(int(number) for number in found[1].split(",")) if found else frozenset()
