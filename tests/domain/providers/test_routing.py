"""Who is asked, in which order; when somebody is not asked; what it costs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloyd.domain.providers.echo import EchoProvider
from alloyd.domain.providers.health import FAILURES_MAX, PAUSE_MS_MAX, PAUSE_MS_MIN, Health
from alloyd.domain.providers.messages import read_prompt
from alloyd.domain.providers.model import (
    FREE,
    Answer,
    Delta,
    Execute,
    Model,
    Price,
    Prompt,
    Provider,
    ProviderFault,
    ProviderSettings,
    Used,
)
from alloyd.domain.providers.prices import cost_of, estimate_tokens, known_models, micro_usd, worst_case
from alloyd.domain.providers.routing import candidates
from alloyd.errors import AlloydError, Code

DEAR, CHEAP = Price(10, 10), Price(1, 1)


class Named:
    """A provider that nobody calls."""

    modalities = frozenset({"text", "embedding", "image", "audio"})
    image_tokens_max = 1000

    def __init__(self, name: str, *models: Model, **more: Any) -> None:
        self.settings = ProviderSettings(name, "openai", "http://x.test", models=models, **more)

    def check(self, model: Model, prompt: Prompt) -> None: ...

    async def execute(self, model: Model, prompt: Prompt) -> Answer:
        raise NotImplementedError

    def stream(self, model: Model, prompt: Prompt, used: Used) -> AsyncGenerator[Delta]:
        raise NotImplementedError


def providers(*listed: Provider) -> Mapping[str, Provider]:
    return {one.settings.id: one for one in (*listed, EchoProvider())}


WORLD = providers(
    Named(
        "a",
        Model("small", "fast", price=CHEAP),
        Model("big", "best", price=DEAR),
        Model("vec", "fast", ("embedding",), CHEAP),
    ),
    Named("b", Model("small", "fast", price=DEAR), Model("odd", "fast"), Model("x/y", price=CHEAP)),
    Named("own", free=True, open=True),
    Named("local", Model("tiny", "slow"), free=True),
)


@pytest.mark.parametrize(
    ("asked", "order"),
    [
        ({}, ["local/tiny", "a/small", "b/x/y", "a/big", "b/small", "b/odd"]),
        ({"tier": "fast"}, ["a/small", "b/small", "b/odd"]),
        ({"tier": "best"}, ["a/big"]),
        ({"model": "small"}, ["a/small", "b/small"]),
        ({"model": "small", "tier": "best"}, ["a/small", "b/small"]),
        ({"model": "b/small"}, ["b/small"]),
        ({"model": "small", "provider": "b"}, ["b/small"]),
        ({"model": "b/small", "provider": "b"}, ["b/small"]),
        ({"model": "x/y"}, ["b/x/y"]),
        ({"model": "b/x/y"}, ["b/x/y"]),
        ({"provider": "b"}, ["b/x/y", "b/small", "b/odd"]),
        ({"provider": "b", "tier": "fast"}, ["b/small", "b/odd"]),
        ({"model": "own/anything:7b"}, ["own/anything:7b"]),
        ({"model": "anything:7b", "provider": "own"}, ["own/anything:7b"]),
        ({"modality": "embeddings"}, ["a/vec"]),
        ({"modality": "image"}, ["echo/echo"]),
        ({"modality": "image", "tier": "fast"}, ["echo/echo"]),
        ({"provider": "echo"}, ["echo/echo"]),
        ({"model": "echo"}, ["echo/echo"]),
        ({"provider": "echo", "tier": "best"}, ["echo/echo"]),
    ],
)
def test_order(asked: dict[str, Any], order: list[str]) -> None:
    found = candidates(WORLD, Execute(asked.pop("modality", "text"), "x", **asked), Health(), 0)
    assert [one.id for one in found] == order


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"modality": "smell"}, "no provider serves 'smell'"),
        ({"model": "gone"}, "no provider serves 'text' with model 'gone'"),
        ({"model": "a/gone"}, "with model 'a/gone'"),
        ({"provider": "gone"}, "provider 'gone'"),
        ({"tier": "gone"}, "with tier 'gone'"),
        ({"model": "vec"}, "with model 'vec'"),
        ({"provider": "own"}, "with provider 'own'"),
        ({"model": "b/small", "provider": "a"}, "with model 'b/small' and provider 'a'"),
    ],
)
def test_nobody_serves_it(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(AlloydError) as caught:
        candidates(WORLD, Execute(asked.pop("modality", "text"), "x", **asked), Health(), 0)
    assert caught.value.code is Code.NOT_FOUND
    assert told in caught.value.message


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb"])
def test_names_are_bounded(name: str) -> None:
    with pytest.raises(AlloydError) as caught:
        candidates(WORLD, Execute("text", "x", model=name), Health(), 0)
    assert (caught.value.code, caught.value.field) == (Code.BAD_REQUEST, "model")


LATER = ProviderFault("unavailable", "x", retryable=True)
OWN_FAULT = ProviderFault("refused", "x", refused=True)


def fail(health: Health, times: int, now_ms: int = 0, fault: ProviderFault = LATER) -> None:
    for _ in range(times):
        health.begin("a", "small")
        health.failed("a", "small", fault, now_ms)


def test_those_that_fail_are_asked_last() -> None:
    health = Health()
    fail(health, FAILURES_MAX)
    found = candidates(WORLD, Execute("text", "x", tier="fast"), health, 1)
    assert [one.id for one in found] == ["b/small", "b/odd", "a/small"]


def test_a_breaker_opens_after_some_failures_and_is_probed_by_one_call_at_a_time() -> None:
    health = Health()
    fail(health, FAILURES_MAX - 1)
    assert health.rank("a", "small", 0) == 0
    fail(health, 1)
    assert health.rank("a", "small", PAUSE_MS_MIN - 1) == 2
    assert health.wait_ms("a", "small", PAUSE_MS_MIN - 1) == 1
    assert health.rank("a", "small", PAUSE_MS_MIN) == 1
    health.begin("a", "small")
    assert health.rank("a", "small", PAUSE_MS_MIN) == 2
    health.left("a", "small")
    assert health.rank("a", "small", PAUSE_MS_MIN) == 1
    health.begin("a", "small")
    health.succeeded("a", "small")
    assert health.rank("a", "small", 0) == 0


def test_each_failed_probe_doubles_the_pause_up_to_a_bound() -> None:
    health, now = Health(), 0
    fail(health, FAILURES_MAX)
    pauses = []
    for _ in range(8):
        now += health.wait_ms("a", "small", now)
        fail(health, 1, now)
        pauses.append(health.wait_ms("a", "small", now))
    assert pauses[:2] == [2 * PAUSE_MS_MIN, 4 * PAUSE_MS_MIN]
    assert pauses[-1] == PAUSE_MS_MAX


def test_who_says_when_is_asked_then() -> None:
    health = Health()
    fail(health, 1, 1000, ProviderFault("rate_limited", "x", retryable=True, retry_after_ms=7000))
    assert health.wait_ms("a", "small", 1000) == 7000
    assert health.rank("a", "small", 8000) == 1


def test_a_bad_question_says_nothing_of_the_provider() -> None:
    health = Health()
    fail(health, 10, 0, OWN_FAULT)
    assert health.rank("a", "small", 0) == 0


def test_breakers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alloyd.domain.providers.health.BREAKERS_MAX", 2)
    health = Health()
    for name in "abc":
        health.failed(name, "m", ProviderFault("x", "x", retryable=True, retry_after_ms=5), 0)
    assert [health.rank(name, "m", 0) for name in "abc"] == [0, 2, 2]


@pytest.mark.parametrize(
    ("price", "used", "cost"),
    [
        (None, Used(10, 10), 0),
        (FREE, Used(10**9, 10**9, 5, 5), 0),
        (Price(150_000, 600_000), Used(1, 0), 1),
        (Price(150_000, 600_000), Used(10, 10), 8),
        (Price(150_000, 600_000), Used(1_000_000, 1_000_000), 750_000),
        (Price(image=40_000), Used(images=3), 120_000),
        (Price(characters_per_million=15_000_000), Used(characters=3), 45),
    ],
)
def test_costs_are_rounded_up_once(price: Price | None, used: Used, cost: int) -> None:
    assert cost_of(price, used) == cost


@pytest.mark.parametrize(
    ("usd", "micro"), [(0.15, 150_000), (0.1 + 0.2, 300_001), ("0.0000001", 1), (0, 0), (3, 3_000_000)]
)
def test_money_is_whole(usd: Any, micro: int) -> None:
    assert micro_usd(usd) == micro


@given(st.text(min_size=1), st.integers(1, 1000))
def test_no_estimate_is_above_the_worst_case(text: str, most: int) -> None:
    if not text.strip():
        return
    model = Model("m", price=CHEAP)
    prompt = read_prompt("text", text, {"max_tokens": most})
    bound = worst_case(Named("a", model), model, prompt)
    assert estimate_tokens(text) <= len(text.encode()) < bound.input_tokens
    assert bound.output_tokens == most


@pytest.mark.parametrize(
    ("model", "params", "bound"),
    [
        (Model("m"), {}, 4096),
        (Model("m"), {"max_tokens": 9}, 9),
        (Model("m", max_output_tokens=100), {}, 100),
        (Model("m", max_output_tokens=100), {"max_tokens": 500}, 100),
    ],
)
def test_answers_are_bounded(model: Model, params: dict[str, Any], bound: int) -> None:
    assert worst_case(Named("a"), model, read_prompt("text", "x", params)).output_tokens == bound


def test_the_worst_case_knows_pictures_tools_and_the_context() -> None:
    picture = [{"content": [{"type": "image", "url": "https://x.test/"}]}]
    plain = worst_case(Named("a"), Model("m"), read_prompt("text", "x", {})).input_tokens
    assert worst_case(Named("a"), Model("m"), read_prompt("text", picture, {})).input_tokens >= 1000
    tools = {"tools": [{"name": "t", "parameters": {"a": "b" * 500}}]}
    assert worst_case(Named("a"), Model("m"), read_prompt("text", "x", tools)).input_tokens >= plain + 500
    full = Model("m", context_tokens=50)
    assert worst_case(Named("a"), full, read_prompt("text", picture, {})).input_tokens == 50
    assert worst_case(Named("a"), full, read_prompt("image", "x", {"n": 3})).images == 3
    assert worst_case(Named("a"), full, read_prompt("audio", "abc", {})).characters == 3


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_every_known_price_says_where_it_is_from(kind: str) -> None:
    models = known_models(kind)
    assert models
    for model in models.values():
        assert model.price is not None
        assert not model.price.free
        assert model.price.source.startswith("https://")
        assert model.price.date is not None
        assert model.price.date >= "2026-01-01"
