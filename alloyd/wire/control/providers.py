"""``/v1/providers``: list AI providers, ask them, ask them for a stream, estimate."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from alloyd.domain.providers.model import Execute, Model, Origin, Price, Used
from alloyd.domain.providers.service import Gateway, ProviderView, ServedModel, Streamed
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.fields import told
from alloyd.wire.provider_stream import ProviderStreams, serve_pieces
from alloyd.wire.route import Call, Route
from alloyd.wire.sse import MEDIA_TYPE

# A conversation with a few pictures in it.
EXECUTE_BYTES_MAX: Final = 32 * 1024 * 1024
OVERHEAD: Final = "X-Alloyd-Overhead-Ms"
MICRO: Final = 1_000_000

_Word = Annotated[str, Meta(min_length=1, max_length=64)]
Input = Annotated[Any, told(type=["string", "array", "object"])]
_ModelName = Annotated[str, Meta(min_length=1, max_length=200)]


class ExecuteBody(msgspec.Struct, frozen=True):
    """What is asked: ``input`` is a text, ``{prompt}``, ``{messages}`` or, for embeddings, a list of texts."""

    modality: _Word
    input: Input
    model: _ModelName | None = None
    provider: _Word | None = None
    tier: _Word | None = None
    params: dict[str, Any] | None = None
    organization_id: str | None = None


class UsageBody(msgspec.Struct):
    """What a call used; ``cost_usd`` is null where no price is known."""

    input_tokens: int
    output_tokens: int
    cost_usd: float | None


class ExecutedBody(msgspec.Struct):
    """An answer."""

    provider_id: str
    model: str
    modality: str
    output: Any
    usage: UsageBody


class PriceBody(msgspec.Struct):
    """USD for a million tokens in and out, an image, a million characters; where that was read, and when."""

    input: float
    output: float
    image: float
    characters: float
    source: str
    date: str | None


class EstimateBody(msgspec.Struct):
    """Who would be asked first, and the most it can use and cost. ``output`` is always null."""

    provider_id: str
    model: str
    modality: str
    output: None
    usage: UsageBody
    price: PriceBody | None


class ModelBody(msgspec.Struct):
    """A model of a provider."""

    id: str
    tier: str
    streaming: bool
    price: PriceBody | None
    modalities: list[str]
    context_tokens: int | None
    max_output_tokens: int | None
    healthy: bool


class ProviderBody(msgspec.Struct):
    """A provider; ``open``: it is also asked for models that are not listed, when both are named."""

    id: str
    name: str
    kind: str
    modalities: list[str]
    models: list[ModelBody]
    healthy: bool
    open: bool


class ProviderRoutes:
    """Handlers over the gateway."""

    def __init__(self, gateway: Gateway, streams: ProviderStreams) -> None:
        self._gateway = gateway
        self._streams = streams

    async def list_providers(self, _call: Call) -> list[ProviderBody]:
        """Every provider there is; the list is short and has no pages."""
        return [_provider(view) for view in self._gateway.list_providers()]

    async def execute(self, call: Call) -> ExecutedBody:
        """Ask, and answer in one piece."""
        started = time.perf_counter()
        request = _request(call)
        done = await self._gateway.execute(call.who, request, Origin(request_id=call.request_id))
        call.add_header(OVERHEAD, _overhead(started, done.upstream_s))
        return ExecutedBody(
            done.provider_id, done.model, done.modality, done.output, _usage(done.used, done.cost_micro_usd)
        )

    async def estimate(self, call: Call) -> EstimateBody:
        """Say what a call would cost at most."""
        request = _request(call)
        found = self._gateway.estimate(call.who, request)
        return EstimateBody(
            found.provider_id,
            found.model.id,
            found.modality,
            None,
            _usage(found.used, found.cost_micro_usd),
            _price(found.model.price),
        )

    async def stream(self, call: Call) -> web.StreamResponse | None:
        """Ask, and answer in pieces. What fails before the first piece is an ordinary error."""
        started = time.perf_counter()
        request = _request(call)
        streamed = Streamed()
        with self._streams.entered(call.who.id):
            pieces = self._gateway.stream(call.who, request, streamed, Origin(request_id=call.request_id))
            try:
                first = await anext(pieces)
                headers = {OVERHEAD: _overhead(started, streamed.upstream_s)}
                heartbeat_s = self._streams.settings.heartbeat_s
                return await serve_pieces(call, first, pieces, streamed, headers, heartbeat_s)
            finally:
                await pieces.aclose()


def _request(call: Call) -> Execute:
    body: ExecuteBody = call.body
    organization_of(call, body.organization_id)
    return Execute(body.modality, body.input, body.model, body.provider, body.tier, body.params or {})


def _overhead(started: float, upstream_s: float) -> str:
    """Milliseconds that were ours, the durable usage record's among them."""
    return f"{max(time.perf_counter() - started - upstream_s, 0) * 1000:.2f}"


def _usage(used: Used, cost_micro_usd: int | None) -> UsageBody:
    cost = None if cost_micro_usd is None else cost_micro_usd / MICRO
    return UsageBody(used.input_tokens, used.output_tokens, cost)


def _price(price: Price | None) -> PriceBody | None:
    if price is None:
        return None
    return PriceBody(
        price.input_per_million / MICRO,
        price.output_per_million / MICRO,
        price.image / MICRO,
        price.characters_per_million / MICRO,
        price.source,
        price.date,
    )


def _provider(view: ProviderView) -> ProviderBody:
    models = [_model(served.model, served) for served in view.models]
    return ProviderBody(view.id, view.id, view.kind, list(view.modalities), models, view.healthy, view.open)


def _model(model: Model, served: ServedModel) -> ModelBody:
    return ModelBody(
        model.id,
        model.tier,
        served.streaming,
        _price(model.price),
        list(model.modalities),
        model.context_tokens,
        model.max_output_tokens,
        served.healthy,
    )


def routes(gateway: Gateway, streams: ProviderStreams) -> list[Route]:
    """The routes of providers."""
    handlers = ProviderRoutes(gateway, streams)
    return [
        Route(
            "GET",
            "/providers",
            handlers.list_providers,
            "provider.read",
            "List AI providers with their models, prices and health",
            output=list[ProviderBody],
        ),
        Route(
            "POST",
            "/providers/execute",
            handlers.execute,
            "provider.execute",
            "Ask an AI model; routed by what is named, else by tier, health and price",
            body=ExecuteBody,
            output=ExecutedBody,
            statuses=(404, 422, 429, 502, 503),
            body_bytes_max=EXECUTE_BYTES_MAX,
            mutates=False,  # its usage record tells of it
        ),
        Route(
            "POST",
            "/providers/execute/stream",
            handlers.stream,
            "provider.execute",
            "Ask an AI model, and get the answer as server-sent events: delta, tool_call, done, then [DONE]",
            body=ExecuteBody,
            streams=MEDIA_TYPE,
            statuses=(404, 422, 429, 502, 503),
            body_bytes_max=EXECUTE_BYTES_MAX,
            mutates=False,  # its usage record tells of it
        ),
        Route(
            "POST",
            "/providers/estimate",
            handlers.estimate,
            "provider.execute",
            "Say who would be asked, and the most that it can use and cost; nothing is sent",
            body=ExecuteBody,
            output=EstimateBody,
            statuses=(404, 422),
            body_bytes_max=EXECUTE_BYTES_MAX,
            mutates=False,
        ),
    ]
