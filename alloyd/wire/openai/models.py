"""``GET /v1/models``: what may be asked here, by the names that ``model`` takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from alloyd.domain.providers.model import EMBEDDING, TEXT, Execute
from alloyd.domain.providers.service import Gateway, ProviderView
from alloyd.wire.openai.codec import in_its_words, no_model
from alloyd.wire.openai.shapes import ModelList, ModelObject
from alloyd.wire.openai.teammates import PREFIX, TeammateModels
from alloyd.wire.route import Call, Route

TIER: Final = "tier/"
# What this format has routes for.
_SERVED: Final = frozenset({TEXT, EMBEDDING})
_ALLOYD: Final = "alloyd"


def to_execute(modality: str, model: str, given: Any, params: Mapping[str, Any]) -> Execute:
    """What the gateway is asked for under the name ``model``: a model, or the cheapest that serves a tier."""
    if model.startswith(TIER):
        return Execute(modality, given, tier=model.removeprefix(TIER), params=params)
    return Execute(modality, given, model=model, params=params)


class ModelRoutes:
    """Handlers over the gateway and the teammates."""

    def __init__(self, gateway: Gateway, teammates: TeammateModels) -> None:
        self._gateway = gateway
        self._teammates = teammates

    async def list_models(self, call: Call) -> ModelList:
        """Every name; the list has no pages, as OpenAI's has none."""
        return ModelList("list", [*self._configured().values(), *await self._teammates.list_models(call.who)])

    async def get_model(self, call: Call) -> ModelObject:
        """One of the list, or any model of a provider that is asked for whatever is named."""
        wanted = call.param("id").rstrip("/")  # the path may end with a slash
        if wanted.startswith(PREFIX):
            return await self._teammates.get_model(call.who, wanted)
        found = self._configured().get(wanted) or self._find_open(wanted)
        if found is None:
            raise no_model()
        return found

    def _configured(self) -> dict[str, ModelObject]:
        """Each model by its own name, by its provider's and its own, and the tiers."""
        found: dict[str, ModelObject] = {}
        views = self._gateway.list_providers()
        for view in views:
            for model_id in _models_of(view):
                found.setdefault(model_id, _model(model_id, view.id))
        for view in views:
            for model_id in _models_of(view):
                found.setdefault(f"{view.id}/{model_id}", _model(f"{view.id}/{model_id}", view.id))
        tiers = {served.model.tier for view in views for served in view.models if TEXT in served.model.modalities}
        for tier in sorted(tiers):
            found.setdefault(TIER + tier, _model(TIER + tier, _ALLOYD))
        return found

    def _find_open(self, wanted: str) -> ModelObject | None:
        provider_id, slash, model_id = wanted.partition("/")
        for view in self._gateway.list_providers():
            if view.id == provider_id and view.open and slash and model_id and wanted.isprintable():
                return _model(wanted, view.id)
        return None


def _models_of(view: ProviderView) -> Iterator[str]:
    for served in view.models:
        if not _SERVED.isdisjoint(served.model.modalities):
            yield served.model.id


def _model(name: str, owner: str) -> ModelObject:
    return ModelObject(name, "model", 0, owner, name)


def routes(gateway: Gateway, teammates: TeammateModels) -> list[Route]:
    """The routes of models."""
    handlers = ModelRoutes(gateway, teammates)
    return [
        Route(
            "GET",
            "/models",
            handlers.list_models,
            "provider.read",
            "List what may be asked for as `model`, in the OpenAI format",
            output=ModelList,
        ),
        Route(
            "GET",
            "/models/{id:.+}",
            in_its_words(handlers.get_model, lambda field: field),
            "provider.read",
            "Show one of them",
            output=ModelObject,
        ),
    ]
