"""Builds the AI gateway out of the configuration: providers, their models and prices, and their way out."""

from __future__ import annotations

from urllib.parse import urlsplit

from alloyd.config import Config, ModelConfig, PriceConfig, ProviderConfig
from alloyd.domain.providers import anthropic, openai
from alloyd.domain.providers.anthropic import AnthropicProvider
from alloyd.domain.providers.echo import EchoProvider
from alloyd.domain.providers.model import TEXT, Model, Price, Provider, ProviderSettings
from alloyd.domain.providers.openai import OpenAIProvider
from alloyd.domain.providers.prices import known_models, micro_usd
from alloyd.domain.providers.service import Gateway
from alloyd.domain.usage.service import UsageService
from alloyd.egress import EgressLimits, EgressPolicy, Outbound
from alloyd.kit.clock import Clock

_BASE_URLS = {"openai": openai.BASE_URL, "anthropic": anthropic.BASE_URL}
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Calls to providers are few and long: their connections are kept ready, or each would pay for TLS again.
_KEEPALIVE_S = 90.0
_CONNECTIONS_MAX = 1024
_DNS_THREADS = 4


def build_gateway(config: Config, usage: UsageService, clock: Clock) -> tuple[Gateway, Outbound]:
    """The gateway, and its client, which reaches the configured addresses wherever they are. Close both."""
    enabled = [provider_settings(name, one) for name, one in config.providers.items() if one.enabled]
    limits = EgressLimits(
        connect_timeout_s=config.egress.connect_timeout_s,
        connections_max=_CONNECTIONS_MAX,
        connections_per_host_max=_CONNECTIONS_MAX,
        keepalive_s=_KEEPALIVE_S,
        dns_threads=_DNS_THREADS,
    )
    outbound = Outbound(EgressPolicy.parse([_destination(one.base_url) for one in enabled]), limits)
    providers: list[Provider] = []
    for settings in enabled:
        make = AnthropicProvider if settings.kind == "anthropic" else OpenAIProvider
        providers.append(make(settings, outbound, clock))
    return Gateway([*providers, EchoProvider()], usage, clock), outbound


def provider_settings(name: str, given: ProviderConfig) -> ProviderSettings:
    """A provider as the gateway takes it: models with what is known of them."""
    kind = given.kind if given.kind != "auto" else "anthropic" if name == "anthropic" else "openai"
    base_url = (given.base_url or _BASE_URLS[kind]).rstrip("/")
    own = urlsplit(base_url).hostname == urlsplit(_BASE_URLS[kind]).hostname
    known = known_models(kind) if own else {}
    models = tuple(_model(one, known.get(one.id)) for one in given.models) or tuple(known.values())
    return ProviderSettings(
        name,
        kind,
        base_url.removesuffix("/v1") if kind == "anthropic" else base_url,
        given.api_key.reveal() if given.api_key else None,
        models,
        given.timeout_s,
        given.first_byte_timeout_s,
        given.free,
        open=not given.models,
    )


def _model(given: ModelConfig, known: Model | None) -> Model:
    """What is configured, and for the rest what is known."""
    base = known or Model(given.id, modalities=(TEXT,))
    return Model(
        given.id,
        given.tier or base.tier,
        given.modalities or base.modalities,
        base.price if given.price is None else _price(given.price),
        given.context_tokens or base.context_tokens,
        given.max_output_tokens or base.max_output_tokens,
    )


def _price(given: PriceConfig) -> Price:
    return Price(micro_usd(given.input), micro_usd(given.output), micro_usd(given.image), micro_usd(given.characters))


def _destination(base_url: str) -> str:
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
