"""A program with a teammate in it, and words for talking to one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alloyd.config import ProviderConfig
from alloyd.domain.teammates.model import Message, NewTeammate, Reply, Teammate
from alloyd.domain.teammates.service import TeammateService
from alloyd.principal import Principal
from tests.app import Served, open_app
from tests.vendor import Vendor, chat, open_vendor, says

LONG_S = 30.0


@dataclass
class Desk:
    """A program, one organization in it, and what is asked of its teammates."""

    served: Served
    who: Principal

    @property
    def teammates(self) -> TeammateService:
        return self.served.app.teammates

    async def make(self, name: str = "Ada", **more: Any) -> Teammate:
        """A teammate that echo speaks for unless another provider is named."""
        more.setdefault("provider", "echo")
        return await self.teammates.create(self.who, NewTeammate(name, **more))

    async def say(self, one: Teammate, text: str, **more: Any) -> Reply:
        """The reply to a message."""
        sent = await self.teammates.send(self.who, one.id, Message(text, **more))
        return await self.teammates.await_reply(self.who, sent.run_id, LONG_S)

    async def steps(self, run_id: str) -> dict[str, tuple[str, str]]:
        """Operation and state of the run's steps, by key, as they are shown."""
        detail = await self.served.app.runs.get(self.who, run_id)
        return {step.key: (step.operation, step.state.value) for step in detail.steps}

    async def outputs(self, run_id: str) -> dict[str, Any]:
        """The steps' outputs by key; an error's code in place of one that failed."""
        detail = await self.served.app.runs.get(self.who, run_id)
        return {step.key: step.output if step.error is None else step.error.code for step in detail.steps}

    async def texts(self, one: Teammate, conversation_id: str | None) -> list[tuple[str, str]]:
        """Role and text of what is kept of a conversation."""
        assert conversation_id is not None
        found = await self.teammates.conversations.list_messages(self.who, one.id, conversation_id, None, 100)
        return [(message.role, message.text) for message in reversed(found)]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_app(tmp_path) as served:
        yield Desk(served, await served.principal())


def calls(*asked: tuple[str, Any], text: str = "") -> Any:
    """A vendor's answer that asks for tools; arguments that are a text are sent as they are."""
    listed = [
        {
            "id": f"call-{number}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": given if isinstance(given, str) else msgspec.json.encode(given).decode(),
            },
        }
        for number, (name, given) in enumerate(asked)
    ]
    return says(chat(text, message={"content": text, "tool_calls": listed}, finish_reason="tool_calls"))


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[tuple[Desk, Vendor]]:
    """A desk whose teammates a played vendor speaks for, with ``provider="vendor", model="m"``."""
    async with (
        open_vendor() as vendor,
        open_app(tmp_path, providers={"vendor": ProviderConfig(base_url=vendor.url)}) as served,
    ):
        yield Desk(served, await served.principal()), vendor


VENDOR = {"provider": "vendor", "model": "m"}
