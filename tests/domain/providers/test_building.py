"""The gateway out of the configuration: whose API, where, which models at which price, and who may reach it."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.app.providers import build_gateway, provider_settings
from alloyd.config import Config, EgressConfig, ModelConfig, PriceConfig, ProviderConfig, Secret
from alloyd.domain.providers.model import Execute, Price
from alloyd.domain.providers.prices import known_models
from alloyd.egress import EgressError, EgressKind, OutboundRequest
from tests.domain.providers.conftest import ME, World
from tests.vendor import chat, open_vendor, says


@pytest.mark.parametrize(
    ("name", "given", "kind", "base_url"),
    [
        ("openai", {}, "openai", "https://api.openai.com/v1"),
        ("anthropic", {}, "anthropic", "https://api.anthropic.com"),
        ("anthropic", {"base_url": "https://api.anthropic.com/v1/"}, "anthropic", "https://api.anthropic.com"),
        ("claude", {"kind": "anthropic", "base_url": "https://proxy.test/a"}, "anthropic", "https://proxy.test/a"),
        ("anthropic", {"kind": "openai", "base_url": "http://x.test/v1/"}, "openai", "http://x.test/v1"),
        ("anything", {}, "openai", "https://api.openai.com/v1"),
    ],
)
def test_whose_api_and_where(name: str, given: dict[str, Any], kind: str, base_url: str) -> None:
    made = provider_settings(name, ProviderConfig(**given))
    assert (made.id, made.kind, made.base_url, made.api_key) == (name, kind, base_url, None)


def test_a_vendor_at_its_own_address_has_its_known_models_and_any_by_name() -> None:
    made = provider_settings("openai", ProviderConfig(api_key=Secret("k")))
    assert made.models == tuple(known_models("openai").values())
    assert (made.open, made.api_key) == (True, "k")
    elsewhere = provider_settings("openai", ProviderConfig(base_url="http://127.0.0.1:11434/v1"))
    assert (elsewhere.models, elsewhere.open) == ((), True)


def test_what_is_configured_wins_over_what_is_known() -> None:
    known = known_models("openai")["gpt-4.1-nano"]
    models = (
        ModelConfig("gpt-4.1-nano", "mine", max_output_tokens=10),
        ModelConfig("gpt-4o", price=PriceConfig(0.000001, 1.5)),
        ModelConfig("new", modalities=("embedding",)),
    )
    first, second, third = provider_settings("openai", ProviderConfig(models=models)).models
    assert (first.tier, first.price, first.max_output_tokens) == ("mine", known.price, 10)
    assert first.context_tokens == known.context_tokens
    assert second.price == Price(1, 1_500_000, source="configuration")
    assert (third.tier, third.price, third.modalities) == ("standard", None, ("embedding",))
    assert provider_settings("openai", ProviderConfig(models=models)).open is False
    elsewhere = ProviderConfig(models=models, base_url="https://x.test/v1")
    assert provider_settings("openai", elsewhere).models[0].price is None


async def test_only_the_gateway_reaches_a_private_provider(world: World) -> None:
    async with open_vendor(says(chat("Hi"))) as vendor:
        own = ProviderConfig(base_url=vendor.url, free=True)
        config = Config(providers={"own": own, "off": ProviderConfig(enabled=False)}, egress=EgressConfig())
        gateway, outbound = build_gateway(config, world.usage, world.clock)
        try:
            assert [view.id for view in gateway.list_providers()] == ["own", "echo"]
            done = await gateway.execute(ME, Execute("text", "hi", "own/whatever:7b"))
            assert (done.output["text"], done.cost_micro_usd) == ("Hi", 0)
            other_port = OutboundRequest(method="GET", url=f"http://127.0.0.1:{vendor.port - 1}/")
            with pytest.raises(EgressError) as caught:
                await outbound.request(other_port)
            assert caught.value.kind is EgressKind.REFUSED
        finally:
            await outbound.close()
