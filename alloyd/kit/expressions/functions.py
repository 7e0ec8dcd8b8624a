"""The table of named functions: what may be called, with how many arguments, and whether it is pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import alloyd.kit.expressions.fn_dates as dates
import alloyd.kit.expressions.fn_encodings as encodings
import alloyd.kit.expressions.fn_lists as lists
import alloyd.kit.expressions.fn_numbers as numbers
import alloyd.kit.expressions.fn_text as text
from alloyd.kit.expressions.bounds import Frame


@dataclass(frozen=True, slots=True)
class Function:
    """One function. ``work(frame, *arguments)`` gets from ``least`` to ``most`` arguments (None: no limit)."""

    name: str
    work: Callable[..., Any]
    least: int = 1
    most: int | None = 1
    pure: bool = True

    def counts(self) -> str:
        """How many arguments it takes, for messages."""
        if self.most is None:
            return f"at least {self.least} argument{'' if self.least == 1 else 's'}"
        span = str(self.least) if self.least == self.most else f"{self.least} to {self.most}"
        return f"{span} argument{'' if span == '1' else 's'}"


def _default(frame: Frame, value: Any, other: Any) -> Any:
    """Compiled as `??`, so that what is missing is forgiven; this is its meaning on values."""
    return other if value is None else value


_TABLE: Final = (
    # text
    Function("upper", text.upper),
    Function("lower", text.lower),
    Function("trim", text.trim, 1, 2),
    Function("split", text.split, 1, 2),
    Function("join", text.join, 1, 2),
    Function("replace", text.replace, 3, 3),
    Function("contains", text.contains, 2, 2),
    Function("starts_with", text.starts_with, 2, 2),
    Function("ends_with", text.ends_with, 2, 2),
    Function("slice", text.slice_of, 2, 3),
    Function("pad_left", text.pad_left, 2, 3),
    Function("pad_right", text.pad_right, 2, 3),
    # kinds
    Function("type", text.type_of),
    Function("str", text.to_text),
    Function("int", numbers.to_int),
    Function("float", numbers.to_float),
    Function("bool", numbers.to_bool),
    Function("default", _default, 2, 2),
    # numbers
    Function("round", numbers.round_to, 1, 2),
    Function("abs", numbers.absolute),
    Function("floor", numbers.floor),
    Function("ceil", numbers.ceil),
    Function("sum", numbers.total),
    Function("avg", numbers.average),
    Function("min", numbers.least, 1, None),
    Function("max", numbers.greatest, 1, None),
    # lists and objects
    Function("len", lists.length),
    Function("range", lists.span, 1, 3),
    Function("sorted", lists.sort, 1, 3),
    Function("reversed", lists.reverse),
    Function("unique", lists.unique),
    Function("flatten", lists.flatten),
    Function("any", lists.any_of),
    Function("all", lists.all_of),
    Function("keys", lists.keys),
    Function("values", lists.values),
    Function("items", lists.items),
    Function("merge", lists.merge, 1, None),
    Function("get", lists.get, 2, 3),
    # dates
    Function("parse_date", dates.parse_date, 1, 2),
    Function("format_date", dates.format_date, 2, 3),
    Function("date_add", dates.date_add, 3, 3),
    Function("date_diff", dates.date_diff, 3, 3),
    Function("timestamp", dates.timestamp),
    # encodings
    Function("json", encodings.to_json),
    Function("from_json", encodings.from_json),
    Function("base64", encodings.to_base64),
    Function("base64_decode", encodings.from_base64),
    Function("url_encode", encodings.url_encode),
    Function("url_decode", encodings.url_decode),
    Function("url_query", encodings.url_query),
    Function("html_escape", encodings.html_escape),
    Function("sha256", encodings.sha256),
    Function("hmac_sha256", encodings.hmac_sha256, 2, 2),
    Function("uuid", encodings.uuid, 0, 0, pure=False),
)

FUNCTIONS: Final = {function.name: function for function in _TABLE}
