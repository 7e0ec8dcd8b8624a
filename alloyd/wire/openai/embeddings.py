"""``POST /v1/embeddings``: texts to vectors, as OpenAI's clients ask for them."""

from __future__ import annotations

import base64
import struct
import time
from typing import Final

from alloyd.domain.providers.model import EMBEDDING, Origin
from alloyd.domain.providers.service import Gateway
from alloyd.errors import AlloydError, Code
from alloyd.wire.openai.chat import OVERHEAD, PROVIDER, overhead
from alloyd.wire.openai.codec import in_its_words
from alloyd.wire.openai.models import to_execute
from alloyd.wire.openai.shapes import MICRO, Embedding, EmbeddingList, EmbeddingsBody, EmbeddingUsage
from alloyd.wire.route import Call, Route

EMBEDDINGS_BYTES_MAX: Final = 32 * 1024 * 1024


class EmbeddingRoutes:
    """Handlers over the gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def embed(self, call: Call) -> EmbeddingList:
        """A vector for each text, in their order."""
        started = time.perf_counter()
        body: EmbeddingsBody = call.body
        params = {} if body.dimensions is None else {"dimensions": body.dimensions}
        request = to_execute(EMBEDDING, body.model, body.input, params)
        done = await self._gateway.execute(call.who, request, Origin(request_id=call.request_id))
        call.add_header(OVERHEAD, overhead(started, done.upstream_s))
        call.add_header(PROVIDER, done.provider_id)
        packs = body.encoding_format == "base64"
        vectors = [
            Embedding("embedding", index, _packed(vector) if packs else vector)
            for index, vector in enumerate(done.output["embeddings"])
        ]
        cost = None if done.cost_micro_usd is None else done.cost_micro_usd / MICRO
        usage = EmbeddingUsage(done.used.input_tokens, done.used.input_tokens, cost)
        return EmbeddingList("list", vectors, done.model, usage)


def _packed(vector: list[float]) -> str:
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except OverflowError:
        message = "the provider's vector does not fit into 32-bit floats; ask with encoding_format: float"
        raise AlloydError(Code.UPSTREAM_FAILED, message) from None


def routes(gateway: Gateway) -> list[Route]:
    """The route of embeddings."""
    handlers = EmbeddingRoutes(gateway)
    return [
        Route(
            "POST",
            "/embeddings",
            in_its_words(handlers.embed, lambda field: field.removeprefix("params.")),
            "provider.execute",
            "Turn texts into vectors, in the OpenAI format",
            body=EmbeddingsBody,
            output=EmbeddingList,
            statuses=(404, 422, 429, 502, 503),
            body_bytes_max=EMBEDDINGS_BYTES_MAX,
            mutates=False,  # its usage record tells of it
        )
    ]
