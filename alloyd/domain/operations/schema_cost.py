"""How much work a JSON Schema written by a user can make on one value, told before it is done; pure.

The validator has no budget of its own, and a schema of a few hundred bytes can ask for years of work: 25 levels of
``anyOf`` that name the level below twice, or a thousand faults that each copy a large value. So the work is counted
first: for each depth of the value, how many parts of the schema can meet one value there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA_BYTES_MAX = 65_536
SCHEMA_PARTS_MAX = 2_000
SCHEMA_DEPTH_MAX = 64
VALUE_DEPTH_MAX = 100
WORK_MAX = 1_000_000
# A fault costs far more than a look, and holds a copy of the value it is about.
FAULT_WORK_MAX = 20_000
COPY_WORK_MAX = 500_000
_TEXT_CHARS_PER_UNIT = 64
_MULTIPLE_OF_UNITS = 100  # exact arithmetic on floats
_UNEVALUATED_FACTOR = 4  # the validator goes through the branches again to learn what they covered

# Applied to the value itself; to each of its members; where only one of several meets a member.
_HERE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
_HERE_BY_NAME = ("dependentSchemas", "dependencies")
_EACH = ("contains", "propertyNames", "unevaluatedItems", "unevaluatedProperties")
_EACH_BY_NAME = ("patternProperties",)
_ONE_OF = ("additionalProperties", "items", "additionalItems", "prefixItems")
_ONE_OF_BY_NAME = ("properties",)
_DEFINITIONS = ("$defs", "definitions")
_REFUSED = ("$dynamicRef", "$recursiveRef", "$vocabulary")


class SchemaRefusedError(ValueError):
    """A schema that is not taken; the message says why, ``place`` where."""

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.place = place


@dataclass(slots=True)
class _Part:
    """One subschema: what it weighs, and the parts it sends the value, or each member of the value, to."""

    weight: int
    factor: int
    here: list[int]
    each: list[int]
    one_of: list[int]


class SchemaCost:
    """The parts of one schema in an order in which a part comes after those it sends the value itself to.

    Raises SchemaRefusedError for references that leave the schema, for a part that leads to itself without going
    deeper, and for a schema with too many or too deep parts.
    """

    def __init__(self, schema: Any) -> None:
        self._whole = schema
        self._parts: list[_Part] = []
        self._numbers: dict[int, int] = {}  # id of a subschema -> its number; the schema keeps the ids alive
        self._root = self._enter(schema, "", 0)
        self._order = self._sort()

    def levels(self, depth: int) -> list[int]:
        """How much one value at each depth down to ``depth`` can cost."""
        # met[n]: what part n costs one value k levels below the value it is applied to, for the present k.
        met = [0] * len(self._parts)
        costs = []
        for level in range(depth + 1):
            above, met = met, [0] * len(self._parts)
            for number in self._order:
                part = self._parts[number]
                cost = part.weight if level == 0 else sum(above[n] for n in part.each)
                if level:
                    cost += max((above[n] for n in part.one_of), default=0)
                cost += sum(met[n] for n in part.here)
                # Cut off, or the numbers themselves would grow without end.
                met[number] = min(cost * part.factor, WORK_MAX + 1)
            costs.append(met[self._root])
        return costs

    def _enter(self, schema: Any, place: str, depth: int) -> int:
        known = self._numbers.get(id(schema)) if isinstance(schema, dict) else None
        if known is not None:
            return known
        number = len(self._parts)
        if number >= SCHEMA_PARTS_MAX:
            raise SchemaRefusedError(f"the schema has more than {SCHEMA_PARTS_MAX} parts", place)
        if depth > SCHEMA_DEPTH_MAX:
            raise SchemaRefusedError(f"the schema is more than {SCHEMA_DEPTH_MAX} deep", place)
        part = _Part(1, 1, [], [], [])
        self._parts.append(part)
        if not isinstance(schema, dict):
            return number
        self._numbers[id(schema)] = number
        for name in _REFUSED:
            if name in schema:
                raise SchemaRefusedError(f"{name} is not supported", place)
        if "$id" in schema and schema is not self._whole:
            raise SchemaRefusedError("only the whole schema may have an $id", place)
        part.weight = _weight(schema)
        part.factor = _UNEVALUATED_FACTOR if any(key.startswith("unevaluated") for key in schema) else 1
        self._enter_all(schema, part, place, depth + 1)
        return number

    def _enter_all(self, schema: dict[str, Any], part: _Part, place: str, depth: int) -> None:
        reference = schema.get("$ref")
        if isinstance(reference, str):
            part.here.append(self._enter(self._target(reference, place), reference, depth))
        groups = ((part.here, _HERE, _HERE_BY_NAME), (part.each, _EACH, _EACH_BY_NAME))
        for into, plain, by_name in (*groups, (part.one_of, _ONE_OF, _ONE_OF_BY_NAME)):
            for keyword, child in _children(schema, plain, by_name):
                into.append(self._enter(child, f"{place}/{keyword}", depth))
        for keyword, child in _children(schema, (), _DEFINITIONS):
            self._enter(child, f"{place}/{keyword}", depth)

    def _target(self, reference: str, place: str) -> Any:
        if reference != "#" and not reference.startswith("#/"):
            raise SchemaRefusedError("$ref may only point into the schema itself (#/$defs/…)", place)
        found = self._whole
        for raw in reference.split("/")[1:]:
            token = raw.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and token in found:
                found = found[token]
            elif isinstance(found, list) and token.isascii() and token.isdigit() and int(token) < len(found):
                found = found[int(token)]
            else:
                raise SchemaRefusedError(f"$ref: there is nothing at {reference[:200]}", place)
        return found

    def _sort(self) -> list[int]:
        """Post-order over the parts met by the same value; without recursion, for references chain."""
        order: list[int] = []
        state = [0] * len(self._parts)  # 1: under way, 2: done
        for start in range(len(self._parts)):
            stack = [(start, iter(self._parts[start].here))] if state[start] == 0 else []
            state[start] = state[start] or 1
            while stack:
                number, waiting = stack[-1]
                following = next((n for n in waiting if state[n] != 2), None)
                if following is None:
                    stack.pop()
                    state[number] = 2
                    order.append(number)
                elif state[following] == 1:
                    raise SchemaRefusedError("a part of the schema leads to itself without going deeper into the value")
                else:
                    state[following] = 1
                    stack.append((following, iter(self._parts[following].here)))
        return order


def _children(schema: Mapping[str, Any], plain: tuple[str, ...], by_name: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for keyword in plain:
        child = schema.get(keyword)
        for item in child if isinstance(child, list) else [child]:
            if isinstance(item, (dict, bool)):
                yield keyword, item
    for keyword in by_name:
        named = schema.get(keyword)
        if isinstance(named, dict):
            for name, item in named.items():
                if isinstance(item, (dict, bool)):
                    yield f"{keyword}/{name}", item


def _weight(schema: Mapping[str, Any]) -> int:
    """What applying the part itself to one value costs: listed values, names and patterns are tried one by one."""
    weight = 1 + len(schema)
    for keyword in ("enum", "const", "required", "dependentRequired", "patternProperties"):
        if keyword in schema:
            weight += sum(measure(schema[keyword]).counts)
    return weight + (_MULTIPLE_OF_UNITS if "multipleOf" in schema else 0)


@dataclass(frozen=True, slots=True)
class Measure:
    """A value's size by depth: ``counts[n]`` in units of work (values, and pieces of long texts) at depth n."""

    counts: tuple[int, ...]

    def work(self, levels: list[int]) -> int:
        """What judging the value can cost."""
        return sum(count * cost for count, cost in zip(self.counts, levels, strict=True))

    def copy_work(self, levels: list[int]) -> int:
        """How much can be copied when every fault is told, each with the value it is about."""
        total = below = 0
        for count, cost in zip(reversed(self.counts), reversed(levels), strict=True):
            below += count
            total += cost * below
        return total


def measure(value: Any) -> Measure:
    """The size of a JSON value. Raises SchemaRefusedError when it is too deep."""
    counts: list[int] = []
    level = [value]
    names = 0  # of the members that are on the present level: a schema may look at them too
    while level:
        if len(counts) > VALUE_DEPTH_MAX:
            raise SchemaRefusedError(f"the value is more than {VALUE_DEPTH_MAX} deep")
        units = len(level) + names
        names = 0
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                units += len(item) // _TEXT_CHARS_PER_UNIT
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, Mapping):
                more = sum(len(key) // _TEXT_CHARS_PER_UNIT for key in item)
                units += len(item) + more
                names += more
                below.extend(item.values())
        counts.append(units)
        level = below
    return Measure(tuple(counts))
