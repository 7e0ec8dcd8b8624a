"""Small changes to a text, in a row and bounded."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.domain.operations.catalogue import get_operation
from alloyd.domain.operations.model import Done, OperationError
from alloyd.domain.operations.text_transform_basic import ACTIONS_MAX, ITEMS_MAX
from alloyd.domain.operations.validation import check_config

TEXT = get_operation("text.transform_basic")


@pytest.mark.parametrize(
    ("text", "actions", "output"),
    [
        ("  a ", ["trim"], "a"),
        ("aß", ["upper"], "ASS"),
        ("AB", ["lower"], "ab"),
        ("ab cd", ["title"], "Ab Cd"),
        ("ab CD", ["capitalize"], "Ab cd"),
        ("abc", ["reverse"], "cba"),
        (" a \n\t b ", ["normalize_whitespace"], "a b"),
        ("Crème Brûlée, 2×!", ["slugify"], "creme-brulee-2"),
        ("a-b-c", [{"action": "replace", "find": "-", "with": "+"}], "a+b+c"),
        ("a-b-c", [{"action": "replace", "find": "-"}], "abc"),
        ("b", [{"action": "prefix", "text": "a"}, {"action": "suffix", "text": "c"}], "abc"),
        ("abcdef", [{"action": "truncate", "length": 4}], "abcd"),
        ("abcdef", [{"action": "truncate", "length": 4, "ending": "…"}], "abc…"),
        ("abcdef", [{"action": "truncate", "length": 1, "ending": "..."}], "."),
        ("abc", [{"action": "truncate", "length": 3, "ending": "…"}], "abc"),
        ("a,b", [{"action": "split", "separator": ","}], ["a", "b"]),
        ("ab", [{"action": "split", "separator": ""}], ["a", "b"]),
        (" a, b ", [{"action": "split", "separator": ","}, "trim", {"action": "join", "separator": "|"}], "a|b"),
        ("ab", [{"action": "split", "separator": ""}, {"action": "join"}], "ab"),
        (" A ", ["trim", {"action": "lower"}], "a"),
    ],
)
async def test_actions(run: Any, text: str, actions: list[Any], output: Any) -> None:
    key = "items" if isinstance(output, list) else "text"
    assert await run(TEXT, {"text": text, "actions": actions}) == Done({key: output})


@pytest.mark.parametrize(
    ("text", "actions", "path", "code"),
    [
        ("a" * 4096, [{"action": "replace", "find": "a", "with": "b" * 4096}], "actions[0]", "too_large"),
        ("a" * 4096, ["trim", {"action": "prefix", "text": "b"}], "actions[1]", "too_large"),
        ("ß" * 4096, ["upper"], "actions[0]", "too_large"),
        (
            "a" * 100,
            [{"action": "split", "separator": ""}, {"action": "suffix", "text": "b" * 50}],
            "actions[1]",
            "too_large",
        ),
        (
            "a" * 100,
            [{"action": "split", "separator": ""}, {"action": "join", "separator": "b" * 50}],
            "actions[1]",
            "too_large",
        ),
        ("a" * (ITEMS_MAX + 1), [{"action": "split", "separator": ""}], "actions[0]", "too_large"),
        ("," * ITEMS_MAX, [{"action": "split", "separator": ","}], "actions[0]", "too_large"),
        ("a", [{"action": "join"}], "actions[0]", "bad_config"),
        ("a", [{"action": "split", "separator": ","}] * 2, "actions[1]", "bad_config"),
        (5, ["trim"], "text", "bad_config"),
    ],
)
async def test_refusals(run: Any, text: Any, actions: list[Any], path: str, code: str) -> None:
    with pytest.raises(OperationError) as caught:
        await run(TEXT, {"text": text, "actions": actions})
    assert (caught.value.code, caught.value.path) == (code, path)


@pytest.mark.parametrize(
    ("actions", "faults"),
    [
        (["trim", {"action": "replace", "find": "a", "with": "b"}], []),
        ("{{ trigger.actions }}", []),
        ([{"action": "{{ trigger.a }}", "find": "x"}], []),
        (["{{ trigger.a }}"], []),
        ([], ["actions"]),
        (["trim"] * (ACTIONS_MAX + 1), ["actions"]),
        (["shout"], ["actions[0]"]),
        ([5], ["actions[0]"]),
        ([{"action": "shout"}], ["actions[0].action"]),
        ([{"find": "a"}], ["actions[0].action"]),
        (["trim", {"action": "replace"}], ["actions[1].find"]),
        ([{"action": "replace", "find": ""}], ["actions[0].find"]),
        ([{"action": "truncate", "length": -1}], ["actions[0].length"]),
        ([{"action": "truncate", "length": "{{ trigger.n }}"}], []),
        ([{"action": "upper", "find": "a", "text": "b"}], ["actions[0].find", "actions[0].text"]),
        ([{"action": "split"}], ["actions[0].separator"]),
        ([{"action": "trim", "colour": "red"}], ["actions[0].colour"]),
    ],
)
def test_check(actions: Any, faults: list[str]) -> None:
    assert [fault.path for fault in check_config(TEXT, {"text": "x", "actions": actions})] == faults
