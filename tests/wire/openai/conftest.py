"""The whole program with a played vendor behind it, and OpenAI's own client in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest

from alloyd.config import ModelConfig, PriceConfig, ProviderConfig, Secret
from tests.app import Served, open_app
from tests.vendor import Vendor, open_vendor

MODELS = (
    ModelConfig("m", "fast", price=PriceConfig(1.0, 2.0), max_output_tokens=100),
    ModelConfig("vec", "fast", modalities=("embedding",), price=PriceConfig(1.0, 0.0)),
)


@dataclass
class Scene:
    """The program, the vendor that its provider `main` is, and clients."""

    served: Served
    vendor: Vendor
    clients: list[openai.AsyncOpenAI] = field(default_factory=list)

    async def client(self, key: str = "acme", **more: Any) -> openai.AsyncOpenAI:
        """OpenAI's client with a key of ours, as its users make it."""
        options: dict[str, Any] = {"api_key": await self.served.key(key), "max_retries": 0, **more}
        made = openai.AsyncOpenAI(base_url=f"{self.served.url}/v1", **options)
        self.clients.append(made)
        return made

    async def ask(self, method: str, path: str, body: Any = None, key: str | None = "acme") -> tuple[int, Any, Any]:
        """Status, body and headers of a bare request."""
        headers = {} if key is None else {"Authorization": f"Bearer {await self.served.key(key)}"}
        url = f"{self.served.url}/v1{path}"
        async with self.served.session.request(method, url, json=body, headers=headers) as response:
            return response.status, await response.json(), response.headers

    async def records(self) -> list[tuple[Any, ...]]:
        """What is recorded as used."""
        return await self.served.app.database.read(
            lambda conn: conn.execute(
                "SELECT provider, status, input_tokens, output_tokens, cost_micro_usd FROM usage_records "
                "ORDER BY created_at, id"
            ).fetchall()
        )


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with open_vendor() as vendor:
        main = ProviderConfig(base_url=vendor.url, api_key=Secret("the-key"), models=MODELS)
        async with open_app(tmp_path, providers={"main": main}) as served:
            found = Scene(served, vendor)
            yield found
            for client in found.clients:
                await client.close()
