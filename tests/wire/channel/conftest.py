"""The whole program with a teammate on the API channel, and a played vendor that it may speak through."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alloyd.config import ModelConfig, PriceConfig, ProviderConfig, Secret
from alloyd.domain.keys.model import CreateKey
from alloyd.domain.runs.model import Ended
from alloyd.domain.teammates.model import Channel, NewTeammate
from alloyd.principal import Role
from tests.app import Served, open_app
from tests.vendor import Vendor, open_vendor

MODELS = (ModelConfig("m", "fast", price=PriceConfig(1.0, 2.0), max_output_tokens=100),)
LONG_S = 30.0


@dataclass
class Line:
    """The program, its vendor, and the words to talk to teammates."""

    served: Served
    vendor: Vendor

    async def make(self, name: str = "Ada", slug: str = "acme", **more: Any) -> str:
        """A teammate that echo speaks for, on the channel, unless told otherwise; its id."""
        wanted = NewTeammate(name, **{"provider": "echo", "channel": Channel.API, **more})
        return (await self.served.app.teammates.create(await self.served.principal(slug), wanted)).id

    async def bound_key(self, teammate_id: str) -> str:
        """A key for that one teammate."""
        new = CreateKey("bound", (), Role.MEMBER, teammate_id=teammate_id)
        issued = await self.served.app.keys.create(await self.served.principal(), new)
        assert issued.raw is not None
        return issued.raw

    async def ask(
        self, method: str, path: str, body: Any = None, raw: str | None = None, key: str = "acme", **headers: str
    ) -> tuple[int, Any, Any]:
        """Status, body and headers of a request below ``/api/teammates``; ``raw`` is the key as it is sent."""
        sent = {"api-key": raw if raw is not None else await self.served.key(key)}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data: Any = None
        if body is not None:
            data = io.BytesIO(body if isinstance(body, bytes) else msgspec.json.encode(body))
            sent["Content-Type"] = "application/json"
        url = path if path.startswith("http") else f"{self.served.url}/api/teammates{path}"
        async with self.served.session.request(method, url, headers=sent, data=data) as response:
            return response.status, await response.json(), response.headers

    async def say(self, teammate_id: str, text: str, status: int = 200, **more: Any) -> Any:
        """``data`` of an answer that must have ``status``."""
        got, answer, _headers = await self.ask("POST", f"/{teammate_id}/messages", {"message": text, **more})
        assert got == status, answer
        assert answer["success"] is True
        return answer["data"]

    async def end_of(self, run_id: str) -> Ended:
        """How a run ended, once it has."""
        ended = await self.served.app.runs.wait(await self.served.principal(), run_id, LONG_S)
        assert ended is not None
        return ended

    async def run_ids(self) -> list[str]:
        """Every run that there is."""
        return await self.served.app.database.read(
            lambda conn: [row[0] for row in conn.execute("SELECT id FROM runs ORDER BY id")]
        )


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with open_vendor() as vendor:
        main = ProviderConfig(base_url=vendor.url, api_key=Secret("the-key"), models=MODELS)
        async with open_app(tmp_path, providers={"main": main}) as served:
            yield Line(served, vendor)
