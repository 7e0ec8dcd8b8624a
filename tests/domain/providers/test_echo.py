"""Echo: the same answer each time, bounded, in every modality."""

from __future__ import annotations

import base64
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloyd.domain.providers import echo
from alloyd.domain.providers.echo import MODEL, EchoProvider
from alloyd.domain.providers.messages import read_prompt
from alloyd.domain.providers.model import MODALITIES, Finished, Model, TextDelta, Used
from alloyd.errors import AlloydError

ECHO = EchoProvider()


async def execute(modality: str, given: Any, **params: Any) -> Any:
    prompt = read_prompt(modality, given, params)
    ECHO.check(MODEL, prompt)
    answer = await ECHO.execute(MODEL, prompt)
    assert answer == await ECHO.execute(MODEL, prompt)
    assert answer.used.told
    return answer.output


@pytest.mark.parametrize("modality", MODALITIES)
async def test_every_modality_is_served_alike_each_time(modality: str) -> None:
    assert await execute(modality, "a cat")


@given(st.text(min_size=1, max_size=200).filter(str.strip))
async def test_no_character_is_lost(text: str) -> None:
    used = Used()
    deltas = [delta async for delta in ECHO.stream(MODEL, read_prompt("text", text, {}), used)]
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == text
    assert deltas[-1] == Finished("stop", used, "echo")


async def test_an_answer_is_cut_at_its_bound() -> None:
    assert await execute("text", "one two three", max_tokens=2) == {"text": "one two", "finish_reason": "length"}


@pytest.mark.parametrize(
    ("given", "choice", "arguments"),
    [('{"at": 1}', "required", {"at": 1}), ("words", "go", {"input": "words"}), ("[1]", "look", {"input": "[1]"})],
)
async def test_a_tool_is_called_on_demand(given: str, choice: str, arguments: Any) -> None:
    tools = [{"name": "look"}, {"name": "go"}]
    output = await execute("text", given, tools=tools, tool_choice=choice)
    (call,) = output["tool_calls"]
    assert (call["name"], call["arguments"]) == ("look" if choice == "required" else choice, arguments)
    assert output["finish_reason"] == "tool_calls"
    assert (await execute("text", given, tools=tools, tool_choice="auto"))["text"] == given


TOOLS = [{"name": "add"}, {"name": "find"}]
ASKED = {
    "call add": [("add", {})],
    'call add {"a": 1}': [("add", {"a": 1})],
    'call add {"a": 1}\ncall find {"b": {"c": "call x"}}\ncall add': [
        ("add", {"a": 1}),
        ("find", {"b": {"c": "call x"}}),
        ("add", {}),
    ],
    "call nothing": [],
    "call add [1]": [],
    "call add {broken": [],
    "call add\nand then stop": [],
    "please call add": [],
    "call": [],
}


@pytest.mark.parametrize(("text", "wanted"), ASKED.items())
async def test_tools_are_called_when_the_user_says_so(text: str, wanted: list[Any]) -> None:
    output = await execute("text", text, tools=TOOLS)
    calls = output.get("tool_calls", [])
    assert [(call["name"], call["arguments"]) for call in calls] == wanted
    assert len({call["id"] for call in calls}) == len(calls)
    assert output["finish_reason"] == ("tool_calls" if wanted else "stop")
    assert output["text"] == ("" if wanted else text)
    assert "tool_calls" not in await execute("text", text, tools=TOOLS, tool_choice="none")
    assert "tool_calls" not in await execute("text", text)


async def test_what_tools_say_is_said_back_and_never_taken_for_a_call() -> None:
    calls = [{"id": str(n), "name": "add", "arguments": {}} for n in (1, 2)]
    results = [
        {"role": "tool", "tool_call_id": "1", "content": "call add"},
        {"role": "tool", "tool_call_id": "2", "content": "two"},
    ]
    said = [{"role": "user", "content": "call add"}, {"role": "assistant", "tool_calls": calls}, *results]
    output = await execute("text", {"messages": said}, tools=TOOLS)
    assert output == {"text": "call add\ntwo", "finish_reason": "stop"}


async def test_vectors_have_length_one_and_tell_texts_apart() -> None:
    output = await execute("embedding", ["a", "b", "a"], dimensions=16)
    first, other, again = output["embeddings"]
    assert len(first) == 16
    assert math.isclose(math.hypot(*first), 1, abs_tol=1e-6)
    assert (first == again, first == other) == (True, False)


async def test_pictures_and_sounds_are_files() -> None:
    images = (await execute("image", "a cat", n=2))["images"]
    assert [base64.b64decode(image["data"])[:8] for image in images] == [b"\x89PNG\r\n\x1a\n"] * 2
    assert base64.b64decode((await execute("audio", "hi"))["audio"])[:4] == b"RIFF"


@pytest.mark.parametrize(
    ("model", "modality", "given", "params", "field"),
    [
        (Model("other"), "text", "x", {}, "model"),
        (MODEL, "text", "x" * (echo.TEXT_BYTES_MAX + 1), {}, "input"),
        (MODEL, "embedding", ["x"] * 3, {"dimensions": 60_000}, "params.dimensions"),
    ],
)
def test_what_would_take_long_is_refused(model: Model, modality: str, given: Any, params: Any, field: str) -> None:
    with pytest.raises(AlloydError) as caught:
        ECHO.check(model, read_prompt(modality, given, params))
    assert caught.value.field == field
