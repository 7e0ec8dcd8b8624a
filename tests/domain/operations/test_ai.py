"""The AI operations, over a gateway with a played vendor: what they ask, give, and say went wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from alloyd.db import Database
from alloyd.db.migrate import migrate
from alloyd.domain.operations.catalogue import get_operation
from alloyd.domain.operations.model import Done, Operation, OperationError, Services
from alloyd.domain.operations.validation import check_config
from alloyd.domain.providers.echo import EchoProvider
from alloyd.domain.providers.model import Model, Price, ProviderSettings
from alloyd.domain.providers.openai import OpenAIProvider
from alloyd.domain.providers.service import Gateway
from alloyd.domain.usage.model import Budget, UsageSettings
from alloyd.domain.usage.service import UsageService
from alloyd.events.hub import Hub
from alloyd.events.service import EventLog
from tests.vendor import Vendor, chat, open_vendor, says

GENERATE, EMBED, EXECUTE = (get_operation(f"ai.{name}") for name in ("generate", "embed", "execute"))
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
USAGE = {"input_tokens": 9, "output_tokens": 3, "cost_usd": 0.000012}


@dataclasses.dataclass
class Scene:
    """A gateway whose provider `main` is played."""

    run: Callable[..., Any]
    services: Services
    database: Database
    usage: UsageService
    vendor: Vendor

    async def done(self, operation: Operation, config: dict[str, Any], **given: Any) -> Any:
        outcome = await self.run(operation, config, services=self.services, **given)
        assert isinstance(outcome, Done)
        return outcome.output

    async def fails(self, operation: Operation, config: dict[str, Any]) -> OperationError:
        with pytest.raises(OperationError) as caught:
            await self.done(operation, config)
        return caught.value


@pytest.fixture
async def scene(tmp_path: Path, services: Services, run: Any) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        migrate(tmp_path / "alloyd.db")
        database = await Database.open(tmp_path / "alloyd.db", services.clock)
        stack.push_async_callback(database.close)
        await EventLog(database, Hub()).start()
        usage = UsageService(database, services.clock, UsageSettings(Budget(None)))
        await usage.open()
        vendor = await stack.enter_async_context(open_vendor(says(chat("Hi"))))
        models = (Model("m", price=Price(1_000_000, 1_000_000)),)
        settings = ProviderSettings("main", "openai", vendor.url, models=models)
        main = OpenAIProvider(settings, services.outbound, services.clock)
        gateway = Gateway([main, EchoProvider()], usage, services.clock)
        yield Scene(run, dataclasses.replace(services, gateway=gateway), database, usage, vendor)


async def test_a_prompt_is_answered(scene: Scene) -> None:
    config = {"prompt": "hi", "system": "Be kind.", "params": {"temperature": 0.5}}
    assert await scene.done(GENERATE, config) == {
        "text": "Hi",
        "finish_reason": "stop",
        "tool_calls": [],
        "model": "m-2026",
        "provider_id": "main",
        "usage": USAGE,
    }
    asked = scene.vendor.seen[0][2]
    assert asked["messages"] == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}]
    assert asked["temperature"] == 0.5


async def test_messages_are_answered(scene: Scene) -> None:
    config = {"messages": [{"role": "user", "content": "echo me"}], "model": "echo/echo"}
    assert (await scene.done(GENERATE, config))["text"] == "echo me"


async def test_an_answer_with_a_schema_is_read(scene: Scene) -> None:
    scene.vendor.replies = [says(chat('{"a": 1}')), says(chat("hm")), says(chat('{"a": "x"}'))]
    config = {"prompt": "hi", "schema": SCHEMA}
    assert (await scene.done(GENERATE, config))["json"] == {"a": 1}
    assert scene.vendor.seen[0][2]["response_format"]["json_schema"]["schema"] == SCHEMA
    error = await scene.fails(GENERATE, config)
    assert (error.code, error.retryable, error.path) == ("bad_answer", True, "schema")
    error = await scene.fails(GENERATE, config)
    assert (error.code, error.retryable, error.details[0]["path"]) == ("bad_answer", True, "a")
    scene.vendor.replies = [says(chat("[" * 5000 + "]" * 5000))]
    error = await scene.fails(GENERATE, config)
    assert (error.code, error.retryable, error.path) == ("bad_answer", True, "schema")


async def test_texts_become_vectors(scene: Scene) -> None:
    config = {"input": ["a", "b"], "provider": "echo", "params": {"dimensions": 2}}
    output = await scene.done(EMBED, config)
    assert [len(vector) for vector in output["embeddings"]] == [2, 2]
    assert (output["provider_id"], output["usage"]["cost_usd"]) == ("echo", 0)
    assert output["embeddings"][0] == (await scene.done(EMBED, {**config, "input": "a"}))["embeddings"][0]


async def test_any_modality_is_served(scene: Scene) -> None:
    output = await scene.done(EXECUTE, {"modality": "image", "input": {"prompt": "a cat"}})
    assert (output["modality"], len(output["output"]["images"]), output["provider_id"]) == ("image", 1, "echo")


@pytest.mark.parametrize(("kind", "job_id", "workflow_id"), [("api", None, "workflow-1"), ("job", "run-1", None)])
async def test_usage_names_the_step(scene: Scene, kind: str, job_id: str | None, workflow_id: str | None) -> None:
    await scene.done(GENERATE, {"prompt": "hi"}, trigger_kind=kind, started_by="somebody")
    rows = await scene.database.read(
        lambda conn: conn.execute(
            "SELECT run_id, node_key, job_id, workflow_id, principal_id FROM usage_records"
        ).fetchall()
    )
    assert rows == [("run-1", "step", job_id, workflow_id, "somebody")]


@pytest.mark.parametrize(("status", "code", "retryable"), [(503, "upstream_failed", True), (400, "bad_request", False)])
async def test_failures_are_the_gateways(scene: Scene, status: int, code: str, retryable: bool) -> None:
    scene.vendor.replies = [says({"error": "x"}, status, headers={"Retry-After": "3"})]
    error = await scene.fails(GENERATE, {"prompt": "hi"})
    assert (error.code, error.retryable) == (code, retryable)
    assert error.retry_after_ms == (3000 if retryable else None)
    assert error.details[0]["status"] == status


async def test_a_budget_fails_the_step(scene: Scene) -> None:
    scene.usage.set_default(UsageSettings(Budget(1)))
    error = await scene.fails(GENERATE, {"prompt": "hi"})
    assert (error.code, scene.vendor.seen) == ("rate_limited", [])


async def test_without_a_gateway_the_step_says_so(scene: Scene) -> None:
    scene.services = dataclasses.replace(scene.services, gateway=None)
    assert (await scene.fails(GENERATE, {"prompt": "hi"})).code == "unavailable"


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({}, "prompt"),
        ({"prompt": "x", "messages": []}, "prompt"),
        ({"prompt": "x", "temperature": 1}, "temperature"),
        ({"prompt": "x", "schema": {"type": "thing"}}, "schema.type"),
        ({"prompt": "x", "schema": SCHEMA, "params": {"response_format": {}}}, "params.response_format"),
    ],
)
def test_configs_are_checked_when_they_are_published(config: dict[str, Any], path: str) -> None:
    assert [fault.path for fault in check_config(GENERATE, config)] == [path]


def test_templates_are_left_alone() -> None:
    assert check_config(GENERATE, {"prompt": "{{ trigger.text }}", "params": {"max_tokens": "{{ trigger.n }}"}}) == []
    assert check_config(EMBED, {"input": "{{ trigger.texts }}"}) == []
