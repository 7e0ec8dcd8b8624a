"""What the tests of both wire formats share: a client, a played vendor, and the way to ask it."""

from __future__ import annotations

from typing import Any

from alloyd.domain.providers.anthropic import AnthropicProvider
from alloyd.domain.providers.messages import read_prompt
from alloyd.domain.providers.model import (
    Delta,
    Model,
    Prompt,
    Provider,
    ProviderSettings,
    Used,
)
from alloyd.domain.providers.openai import OpenAIProvider
from alloyd.egress import Outbound
from alloyd.kit.clock import ManualClock
from tests.vendor import Vendor

MODEL = Model("m")


def provider(kind: str, vendor: Vendor, outbound: Outbound, **more: Any) -> Provider:
    url = vendor.url if kind == "openai" else vendor.url.removesuffix("/v1")
    settings = ProviderSettings("p", kind, url, "the-key", **more)
    make = OpenAIProvider if kind == "openai" else AnthropicProvider
    return make(settings, outbound, ManualClock())


def prompt(modality: str = "text", given: Any = "hi", **params: Any) -> Prompt:
    return read_prompt(modality, given, params)


async def collect(one: Provider, asked: Prompt) -> tuple[list[Delta], Used]:
    used = Used()
    return [delta async for delta in one.stream(MODEL, asked, used)], used
