"""What models cost: the list that comes with alloyd, and the one function that turns use into money."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

import yaml

from alloyd.domain.providers.model import AUDIO, IMAGE, TEXT, Model, Price, Prompt, Provider, TextPart, Used

MICRO: Final = 1_000_000
# Where neither the caller nor the model bounds the answer, alloyd does: without a bound there is no worst case.
OUTPUT_TOKENS_DEFAULT: Final = 4096
# What vendors put around a message, and around a request with tools.
_MESSAGE_TOKENS: Final = 32
_REQUEST_TOKENS: Final = 1024


def micro_usd(usd: float | str | Decimal) -> int:
    """``usd`` in micro-USD, a part of one rounded up."""
    return int((Decimal(str(usd)) * MICRO).to_integral_value(ROUND_CEILING))


def cost_of(price: Price | None, used: Used) -> int:
    """What ``used`` costs in micro-USD, rounded up once; the only place where money comes from. Unknown prices: 0."""
    if price is None:
        return 0
    millionths = (
        used.input_tokens * price.input_per_million
        + used.output_tokens * price.output_per_million
        + used.characters * price.characters_per_million
    )
    return -(-millionths // MICRO) + used.images * price.image


def worst_case(provider: Provider, model: Model, prompt: Prompt) -> Used:
    """The most that ``prompt`` can use: a token is a byte at least, an answer as long as it may be."""
    if prompt.modality != TEXT:
        texts = prompt.texts or (prompt.text,)
        read = sum(len(text.encode()) for text in texts)
        images = int(prompt.params.get("n", 1)) if prompt.modality == IMAGE else 0
        characters = sum(len(text) for text in texts) if prompt.modality == AUDIO else 0
        # Some picture models are billed by the tokens of what they draw.
        return Used(read, images * (model.max_output_tokens or 0), images, characters)
    return Used(_input_bound(provider, model, prompt), output_bound(model, prompt))


def output_bound(model: Model, prompt: Prompt) -> int:
    """The most tokens that the answer may have."""
    asked = prompt.params.get("max_tokens")
    bounds = [bound for bound in (asked, model.max_output_tokens) if bound is not None]
    return min(bounds) if bounds else OUTPUT_TOKENS_DEFAULT


def _input_bound(provider: Provider, model: Model, prompt: Prompt) -> int:
    bound = _REQUEST_TOKENS
    for message in prompt.messages:
        bound += _MESSAGE_TOKENS
        for part in message.parts:
            bound += len(part.text.encode()) if isinstance(part, TextPart) else provider.image_tokens_max
        for call in message.tool_calls:
            bound += _MESSAGE_TOKENS + len(call.name) + len(call.arguments.encode())
    for tool in prompt.params.get("tools") or ():
        bound += _MESSAGE_TOKENS + len(tool.name) + len(tool.description.encode()) + _json_bytes(tool.parameters)
    wanted = prompt.params.get("response_format")
    if wanted is not None and wanted.schema is not None:
        bound += _json_bytes(wanted.schema)
    # A prompt that does not fit is refused by the vendor, and not billed.
    return bound if model.context_tokens is None else min(bound, model.context_tokens)


def _json_bytes(value: Any) -> int:
    return len(str(value).encode()) + 16


def estimate_tokens(text: str) -> int:
    """Roughly how many tokens ``text`` is, where nobody says: four bytes each, rounded up."""
    return -(-len(text.encode()) // 4)


def first_guess(prompt: Prompt) -> Used:
    """What ``prompt`` uses before anything is answered, until the provider says better."""
    if prompt.modality == TEXT:
        return Used(sum(estimate_tokens(message.text) for message in prompt.messages))
    texts = prompt.texts or (prompt.text,)
    characters = sum(len(text) for text in texts) if prompt.modality == AUDIO else 0
    return Used(sum(estimate_tokens(text) for text in texts), 0, 0, characters)


@cache
def known_models(kind: str) -> Mapping[str, Model]:
    """The models of ``kind`` (``openai``, ``anthropic``) that come with alloyd, by id."""
    text = resources.files("alloyd.domain.providers").joinpath("prices.yaml").read_text(encoding="utf-8")
    listed: Mapping[str, list[dict[str, Any]]] = yaml.safe_load(text)
    return MappingProxyType({entry["id"]: _model(entry) for entry in listed.get(kind, [])})


def _model(entry: Mapping[str, Any]) -> Model:
    price = Price(
        micro_usd(entry.get("input", 0)),
        micro_usd(entry.get("output", 0)),
        micro_usd(entry.get("image", 0)),
        micro_usd(entry.get("characters", 0)),
        entry["source"],
        entry["date"].isoformat(),
    )
    return Model(
        entry["id"],
        entry["tier"],
        tuple(entry.get("modalities", (TEXT,))),
        price,
        entry.get("context_tokens"),
        entry.get("max_output_tokens"),
    )
