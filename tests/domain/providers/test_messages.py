"""What callers write, read into one form; what is wrong with it, named by its field."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.domain.providers.messages import EMBEDDING_TEXTS_MAX, read_prompt
from alloyd.domain.providers.model import ImagePart, Message, TextPart, ToolCall
from alloyd.errors import AlloydError, Code

PNG = "iVBORw0KGgo="
HI = Message("user", (TextPart("hi"),))
CALL = ToolCall("c1", "look", '{"at":1}')


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        ("hi", (HI,)),
        ({"prompt": "hi"}, (HI,)),
        ({"text": "hi", "system": "be kind"}, (Message("system", (TextPart("be kind"),)), HI)),
        ({"messages": [{"role": "user", "content": "hi"}]}, (HI,)),
        ([{"content": [{"type": "text", "text": "hi"}]}], (HI,)),
        ([{"content": "hi"}, {"role": "assistant", "content": ""}], (HI,)),  # it had nothing to say
        (
            [{"role": "developer", "content": "x"}, {"role": "human", "content": ["hi"]}],
            (Message("system", (TextPart("x"),)), HI),
        ),
        (
            [{"content": [{"type": "image_url", "image_url": {"url": "https://a.test/b.png"}}]}],
            (Message("user", (ImagePart(url="https://a.test/b.png"),)),),
        ),
        (
            [{"content": [{"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"}]}],
            (Message("user", (ImagePart(media_type="image/png", data=PNG),)),),
        ),
        (
            [{"content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}]}],
            (Message("user", (ImagePart(media_type="image/png", data=PNG),)),),
        ),
        (
            [
                {"content": "hi"},
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "seen"},
            ],
            (HI, Message("assistant", (), (CALL,)), Message("tool", (TextPart("seen"),), tool_call_id="c1")),
        ),
        (
            [
                {"content": "hi"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}}],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "seen"}]},
                        "hi",
                    ],
                },
            ],
            (HI, Message("assistant", (), (CALL,)), Message("tool", (TextPart("seen"),), tool_call_id="c1"), HI),
        ),
        (
            [
                {"content": "hi"},
                {"role": "assistant", "tool_calls": [{"id": "c1", "name": "look", "arguments": {"at": 1}}]},
            ],
            (HI, Message("assistant", (), (CALL,))),
        ),
    ],
)
def test_forms_of_text(given: Any, messages: tuple[Message, ...]) -> None:
    assert read_prompt("chat", given, {}).messages == messages


@pytest.mark.parametrize(
    ("modality", "given", "texts", "text"),
    [
        ("embeddings", "a", ("a",), ""),
        ("embedding", ["a", "b"], ("a", "b"), ""),
        ("embedding", {"texts": ["a"]}, ("a",), ""),
        ("embedding", {"input": "a"}, ("a",), ""),
        ("image", "a cat", (), "a cat"),
        ("image", {"prompt": "a cat"}, (), "a cat"),
        ("speech", {"messages": [{"content": "x"}, {"content": "say it"}]}, (), "say it"),
    ],
)
def test_forms_of_other_modalities(modality: str, given: Any, texts: Any, text: str) -> None:
    prompt = read_prompt(modality, given, {})
    assert (prompt.texts, prompt.text) == (texts, text)


@pytest.mark.parametrize(
    ("modality", "given", "field"),
    [
        ("text", 3, "input"),
        ("text", " ", "input"),
        ("text", {}, "input"),
        ("text", {"prompt": 3}, "input"),
        ("text", {"system": 1, "prompt": "x"}, "input.system"),
        ("text", [], "input.messages"),
        ("text", {"messages": "x"}, "input.messages"),
        ("text", ["x"], "input.messages[0]"),
        ("text", [{"role": "boss", "content": "x"}], "input.messages[0].role"),
        ("text", [{"role": ["user"], "content": "x"}], "input.messages[0].role"),
        ("text", [{"role": "system", "content": "x"}], "input.messages"),
        ("text", [{"content": ""}], "input.messages[0].content"),
        ("text", [{"content": 1}], "input.messages[0].content"),
        ("text", [{"content": [1]}], "input.messages[0].content[0]"),
        ("text", [{"content": [{"type": "video"}]}], "input.messages[0].content[0]"),
        ("text", [{"content": [{"type": "image", "url": "file:///etc/passwd"}]}], "input.messages[0].content[0]"),
        (
            "text",
            [{"content": [{"type": "image", "data": "###", "media_type": "image/png"}]}],
            "input.messages[0].content[0]",
        ),
        (
            "text",
            [{"content": [{"type": "image", "data": PNG, "media_type": "text/html"}]}],
            "input.messages[0].content[0]",
        ),
        (
            "text",
            [{"content": [{"type": "image_url", "image_url": "data:image/png,x"}]}],
            "input.messages[0].content[0]",
        ),
        (
            "text",
            [{"content": [{"type": "image", "data": PNG, "media_type": ["image/png"]}]}],
            "input.messages[0].content[0]",
        ),
        ("text", [{"role": "tool", "content": "x"}], "input.messages[0].tool_call_id"),
        ("text", [{"role": "assistant", "tool_calls": {}}], "input.messages[0].tool_calls"),
        ("text", [{"role": "assistant", "tool_calls": [{"id": "x"}]}], "input.messages[0].tool_calls[0]"),
        ("text", [{"role": "assistant", "tool_calls": [3]}], "input.messages[0].tool_calls[0]"),
        ("text", [{"role": "user", "tool_calls": [{"id": "x", "name": "y"}]}], "input.messages[0]"),
        (
            "text",
            [{"role": "assistant", "content": [{"type": "image", "url": "https://x.test/"}]}],
            "input.messages[0]",
        ),
        ("embedding", [], "input"),
        ("embedding", {}, "input"),
        ("embedding", ["a", 3], "input[1]"),
        ("embedding", ["x"] * (EMBEDDING_TEXTS_MAX + 1), "input"),
        ("image", {"prompt": "  "}, "input"),
    ],
)
def test_faults_name_their_field(modality: str, given: Any, field: str) -> None:
    with pytest.raises(AlloydError) as caught:
        read_prompt(modality, given, {})
    assert (caught.value.code, caught.value.field) == (Code.BAD_REQUEST, field)


TOOL = {"name": "look", "description": "d", "parameters": {"type": "object"}}


@pytest.mark.parametrize(
    ("modality", "params", "field"),
    [
        ("text", {"temprature": 1}, "params.temprature"),
        ("text", {"temperature": 3}, "params.temperature"),
        ("text", {"temperature": "hot"}, "params.temperature"),
        ("text", {"max_tokens": 0}, "params.max_tokens"),
        ("text", {"stop": []}, "params.stop"),
        ("text", {"tools": []}, "params.tools"),
        ("text", {"tools": ["look"]}, "params.tools"),
        ("text", {"tools": [{"name": "a b"}]}, "params.tools"),
        ("text", {"tools": [TOOL, TOOL]}, "params.tools"),
        ("text", {"tool_choice": "auto"}, "params.tool_choice"),
        ("text", {"tools": [TOOL], "tool_choice": "jump"}, "params.tool_choice"),
        ("text", {"tools": [TOOL], "tool_choice": {"type": "odd"}}, "params.tool_choice"),
        ("text", {"response_format": {"type": "xml"}}, "params.response_format"),
        ("text", {"response_format": {"type": "json_schema"}}, "params.response_format"),
        ("text", {"response_format": {"type": "json_object", "schema": {}}}, "params.response_format"),
        ("embedding", {"temperature": 1}, "params.temperature"),
        ("embedding", {"dimensions": -1}, "params.dimensions"),
        ("image", {"n": 11}, "params.n"),
        ("audio", {"format": "midi"}, "params.format"),
        ("video", {"size": "x"}, "params.size"),
    ],
)
def test_params_are_on_a_list(modality: str, params: dict[str, Any], field: str) -> None:
    with pytest.raises(AlloydError) as caught:
        read_prompt(modality, "x", params)
    assert (caught.value.code, caught.value.field) == (Code.BAD_REQUEST, field)


def test_params_are_read_in_the_vendors_own_words() -> None:
    openai = {
        "tools": [{"type": "function", "function": TOOL}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        "stop": "END",
        "seed": None,
    }
    anthropic = {
        "tools": [{"name": "look", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "look"},
        "response_format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}},
        "stop": ["END"],
    }
    read = read_prompt("text", "x", openai).params
    assert read == read_prompt("text", "x", anthropic).params
    assert (read["tool_choice"], read["stop"]) == ("look", ["END"])
    assert "seed" not in read
    required = {"tools": [TOOL], "tool_choice": {"type": "any"}}
    assert read_prompt("text", "x", required).params["tool_choice"] == "required"
