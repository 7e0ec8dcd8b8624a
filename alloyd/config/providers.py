"""The settings of one AI provider; the configuration has any number of them, by name."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from alloyd.config import rules
from alloyd.config.fields import choice, flag, number, secret, structs, text_or_none
from alloyd.config.secret import Secret

USD_MAX: Final = 1_000_000
TOKENS_MAX: Final = 1_000_000_000

_Usd = Annotated[float, Meta(ge=0, le=USD_MAX)]
_Tokens = Annotated[int, Meta(ge=1, le=TOKENS_MAX)]
_Word = Annotated[str, Meta(min_length=1, max_length=64)]


class PriceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a model costs in USD: a million tokens in and out, an image, a million characters of speech."""

    input: _Usd = 0.0
    output: _Usd = 0.0
    image: _Usd = 0.0
    characters: _Usd = 0.0


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A model of a provider. What is left out is taken from the list that comes with alloyd, where it is in it."""

    id: Annotated[str, Meta(min_length=1, max_length=200)]
    tier: _Word | None = None
    modalities: Annotated[tuple[_Word, ...], Meta(min_length=1, max_length=16)] | None = None
    price: PriceConfig | None = None
    context_tokens: _Tokens | None = None
    max_output_tokens: _Tokens | None = None


class ProviderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """An AI provider. Any number of them, each under a name of its own."""

    kind: Annotated[
        Literal["auto", "openai", "anthropic"],
        choice("Whose API it speaks; auto means anthropic for a provider of that name, and openai for others."),
    ] = "auto"
    base_url: Annotated[
        str | None, text_or_none("Where its API begins; the vendor's own address unless given.", rule=rules.base_url)
    ] = None
    api_key: Annotated[Secret | None, secret("Its API key.")] = None
    models: Annotated[
        tuple[ModelConfig, ...],
        structs(
            "The models that it is asked for. Empty means those that alloyd knows of the vendor, and at another"
            " address any model that is named together with the provider.",
            "a list of models, such as [{id: llama3, tier: fast, price: {input: 0, output: 0}}]",
        ),
    ] = ()
    timeout_s: Annotated[int, number("Time for a whole answer.", 1, 3600, "seconds")] = 600
    first_byte_timeout_s: Annotated[
        int, number("Time for the first piece of a streamed answer, and for each silence in it.", 1, 3600, "seconds")
    ] = 60
    free: Annotated[bool, flag("Models without a price cost nothing: the server is one's own.")] = False
    enabled: Annotated[bool, flag("Whether it is asked at all.")] = True
