"""Who may serve a request, in the order in which they are asked; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alloyd.domain.providers.health import Health
from alloyd.domain.providers.model import ECHO, FREE, Execute, Model, Provider, canonical_modality
from alloyd.errors import AlloydError, bad_request, not_found

MODEL_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model of one provider."""

    provider: Provider
    model: Model

    @property
    def id(self) -> str:
        """As a request may name it."""
        return f"{self.provider.settings.id}/{self.model.id}"


def models_of(provider: Provider) -> tuple[Model, ...]:
    """What a provider is known to serve, each with its price where one is known."""
    return tuple(_priced(provider, model) for model in provider.settings.models)


def _priced(provider: Provider, model: Model) -> Model:
    if model.price is not None or not provider.settings.free:
        return model
    return Model(model.id, model.tier, model.modalities, FREE, model.context_tokens, model.max_output_tokens)


def candidates(providers: Mapping[str, Provider], request: Execute, health: Health, now_ms: int) -> list[Candidate]:
    """Who serves ``request``: what it names, else its tier; healthy ones first, then the cheapest.

    Echo is asked only when it is named, or when no other provider serves the modality: an invented answer must never
    stand in for a real one. Raises ``not_found`` when nobody serves it, ``bad_request`` for contradicting names.
    """
    modality = canonical_modality(request.modality)
    provider_id, model_id = _named(providers, request)
    if provider_id is not None and provider_id not in providers:
        raise not_found(f"provider {provider_id[:60]!r}")
    asked = [providers[provider_id]] if provider_id is not None else list(providers.values())
    found = [
        Candidate(provider, model)
        for provider in asked
        if modality in provider.modalities
        for model in _matching(provider, modality, provider_id is not None, model_id)
    ]
    if provider_id is None and model_id is None and any(one.provider.settings.id != ECHO for one in found):
        found = [one for one in found if one.provider.settings.id != ECHO]
    if request.tier is not None and model_id is None:
        # Echo is of every tier.
        found = [one for one in found if one.provider.settings.id == ECHO or one.model.tier == request.tier]
    if not found:
        raise AlloydError(not_found("").code, _nobody(modality, request))
    found.sort(key=lambda one: _order(one, health, now_ms))
    return found


def _named(providers: Mapping[str, Provider], request: Execute) -> tuple[str | None, str | None]:
    """The provider and the model that the request names; ``model`` may be ``provider/model``."""
    model_id = request.model
    if model_id is None:
        return request.provider, None
    if not 0 < len(model_id) <= MODEL_CHARS_MAX or not model_id.isprintable():
        raise bad_request(f"model: 1 to {MODEL_CHARS_MAX} printable characters are wanted", "model")
    first, slash, rest = model_id.partition("/")
    if slash and rest and first in providers and request.provider in (None, first):
        served = request.provider is not None and any(m.id == model_id for m in providers[first].settings.models)
        return (first, model_id) if served else (first, rest)
    return request.provider, model_id


def _matching(provider: Provider, modality: str, named: bool, model_id: str | None) -> list[Model]:
    listed = [model for model in models_of(provider) if modality in model.modalities]
    if model_id is None:
        return listed
    exact = [model for model in listed if model.id == model_id]
    if exact or not named or not provider.settings.open:
        return exact
    # Without a list of the operator's a provider is asked for whatever is named.
    return [_priced(provider, Model(model_id, modalities=(modality,)))]


def _order(one: Candidate, health: Health, now_ms: int) -> tuple[int, int, int, str]:
    price = one.model.price
    rank = health.rank(one.provider.settings.id, one.model.id, now_ms)
    if price is None:
        return rank, 1, 0, one.id
    # An answer is about as long as a question is in most uses, so both prices count the same.
    total = price.input_per_million + price.output_per_million + price.image + price.characters_per_million
    return rank, 0, total, one.id


def _nobody(modality: str, request: Execute) -> str:
    named = [
        f"{word} {value[:60]!r}"
        for word, value in (("model", request.model), ("provider", request.provider), ("tier", request.tier))
        if value is not None
    ]
    return f"no provider serves {modality[:60]!r}" + (f" with {' and '.join(named)}" if named else "")
