"""Whatever JSON a caller sends: it is read, or refused with a field; and what is read can be put into both formats."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from alloyd.domain.providers import anthropic_format, openai_format
from alloyd.domain.providers.echo import EchoProvider
from alloyd.domain.providers.messages import read_prompt
from alloyd.domain.providers.model import TEXT, Model, Prompt
from alloyd.domain.providers.prices import first_guess, worst_case
from alloyd.errors import AlloydError, Code

WORDS = """
role content type text image image_url input_image url source data media_type tool_calls function name arguments id
tool_use tool_result tool_use_id tool_call_id input prompt messages system user assistant tool texts tools tool_choice
response_format json_schema json_object schema stop temperature max_tokens n dimensions parameters input_schema auto
required image/png data:image/png;base64,aGk= https://x.test/ aGk=
"""
NAMES = st.sampled_from(WORDS.split())
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | NAMES
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=20
)
IMAGE = st.fixed_dictionaries(
    {"type": st.just("image")}, optional={"data": NAMES, "media_type": ANYTHING, "url": NAMES}
)
PARTS = st.lists(st.dictionaries(NAMES, ANYTHING, max_size=4) | IMAGE, max_size=3)
MESSAGE = st.fixed_dictionaries({}, optional={"role": NAMES, "content": ANYTHING | PARTS, "tool_calls": ANYTHING})
GIVEN = ANYTHING | st.lists(MESSAGE, max_size=4) | st.fixed_dictionaries({"messages": st.lists(MESSAGE, max_size=4)})
MODALITY = st.sampled_from(["text", "embedding", "image", "audio", "video"])


@settings(max_examples=400, deadline=None)
@given(MODALITY, GIVEN, st.dictionaries(NAMES, ANYTHING, max_size=3))
def test_anything_is_read_or_refused(modality: str, asked: Any, params: dict[str, Any]) -> None:
    try:
        prompt = read_prompt(modality, asked, params)
    except AlloydError as error:
        refusal = error
    else:
        refusal = None
        check_read(modality, prompt)
    if refusal is not None:
        assert refusal.code is Code.BAD_REQUEST
        assert refusal.field is not None
        assert refusal.field.partition(".")[0].partition("[")[0] in ("input", "params")


def check_read(modality: str, prompt: Prompt) -> None:
    model = Model("m")
    assert worst_case(EchoProvider(), model, prompt).input_tokens >= first_guess(prompt).input_tokens
    if modality == TEXT:
        bodies = [
            openai_format.chat_body(model, prompt, streams=True, token_field="max_tokens", always_bounded=True),
            anthropic_format.messages_body(model, prompt, streams=True),
        ]
        assert all(msgspec.json.encode(body) for body in bodies)
