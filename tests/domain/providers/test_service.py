"""The gateway: fallback, reservation, settlement, and callers who leave."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from alloyd.domain.providers.model import FREE, Execute, Finished, Model, Origin, Price, TextDelta
from alloyd.domain.providers.service import Gateway, Streamed
from alloyd.domain.usage.model import Budget, UsageSettings
from alloyd.errors import AlloydError, Code
from tests.domain.providers.conftest import ME, World
from tests.vendor import LONG_S, Held, chat, chunks, message, says, spoken, streams

PRICE = Price(1_000_000, 2_000_000)  # a micro-USD a token in, two out
PRICED = (Model("m", price=PRICE, max_output_tokens=100),)
BUSY = says({"error": {"message": "busy"}}, 429, headers={"Retry-After": "7"})
DOWN = says({"error": "down"}, 500)
BAD = says({"error": {"message": "no such thing"}}, 400)
CUT = streams([], cut=True)


def told(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record[name] for name in ("provider", "status", "input_tokens", "output_tokens", "cost_micro_usd"))


async def fails(world: World, **more: Any) -> AlloydError:
    with pytest.raises(AlloydError) as caught:
        await world.ask(**more)
    assert world.reserved() == 0
    return caught.value


async def test_echo_answers_without_an_account(world: World) -> None:
    done = await world.ask("say this back")
    assert (done.provider_id, done.model, done.output["text"], done.cost_micro_usd) == (
        "echo",
        "echo",
        "say this back",
        0,
    )
    assert [told(record) for record in await world.records()] == [("echo", "ok", 4, 3, 0)]


async def test_a_call_is_recorded_with_its_origin_and_price(world: World) -> None:
    await world.add("a", says(chat("Hi")), models=PRICED)
    done = await world.ask(origin=Origin("run", "flow", "node", None, "request"))
    assert (done.output, done.cost_micro_usd) == ({"text": "Hi", "finish_reason": "stop"}, 15)
    (record,) = await world.records()
    assert told(record) == ("a", "ok", 9, 3, 15)
    assert [record[f"{name}_id"] for name in ("run", "workflow", "job", "request")] == ["run", "flow", None, "request"]
    assert (record["id"], record["node_key"], record["model"]) == (done.record_id, "node", "m")
    assert world.usage.get_budget("org").spent_micro_usd == 15
    assert world.reserved() == 0


@pytest.mark.parametrize("first", [BUSY, DOWN, CUT, says(b"<html>"), says({"error": "key"}, 401)])
async def test_the_next_is_asked_when_one_fails(world: World, first: Any) -> None:
    await world.add("a", first, models=(Model("m", price=FREE),))
    await world.add("b", says(chat("from b")), models=PRICED)
    done = await world.ask()
    assert (done.provider_id, done.output["text"]) == ("b", "from b")
    assert [told(record) for record in await world.records()] == [("b", "ok", 9, 3, 15)]
    streamed_vendors = world.vendors["b"]
    streamed_vendors.replies = [streams(chunks("from", " b"))]
    deltas, streamed = await world.stream()
    assert deltas[:2] == [TextDelta("from"), TextDelta(" b")]
    assert (streamed.provider_id, streamed.cost_micro_usd) == ("b", 15)


async def test_a_refusal_is_not_repeated(world: World) -> None:
    await world.add("a", BAD, models=(Model("m", price=FREE),))
    other = await world.add("b", models=PRICED)
    error = await fails(world)
    assert error.code is Code.BAD_REQUEST
    assert error.message == "a refused the request: status 400: no such thing"
    assert error.details == [
        {"provider_id": "a", "model": "m", "code": "refused", "message": "status 400: no such thing", "status": 400}
    ]
    assert other.seen == []
    assert [told(record) for record in await world.records()] == [("a", "failed", 0, 0, 0)]


async def test_when_all_fail_each_reason_is_told(world: World) -> None:
    await world.add("a", BUSY, models=(Model("m", price=FREE),))
    await world.add("b", DOWN, models=PRICED)
    error = await fails(world)
    assert error.code is Code.UPSTREAM_FAILED
    assert [(one["provider_id"], one["code"], one["status"]) for one in error.details] == [
        ("a", "rate_limited", 429),
        ("b", "unavailable", 500),
    ]
    assert error.retry_after_s == 7
    assert [told(record)[:2] for record in await world.records()] == [("b", "failed")]
    assert "the-key" not in repr(error.details)


async def test_who_failed_is_left_alone_until_it_said(world: World) -> None:
    vendor = await world.add("a", BUSY, says(chat("again")))
    world.usage.set_default(UsageSettings(Budget(None)))
    await fails(world)
    error = await fails(world)
    assert error.details[0]["code"] == "unhealthy"
    assert (len(vendor.seen), error.retry_after_s) == (1, 7)
    assert [view.healthy for view in world.gateway.list_providers()] == [False, True]
    world.clock.advance(7000)
    assert (await world.ask()).output["text"] == "again"
    assert [view.healthy for view in world.gateway.list_providers()] == [True, True]


async def test_what_one_cannot_be_asked_another_may(world: World) -> None:
    await world.add("a", kind="anthropic", models=(Model("m", price=FREE),))
    await world.add("b", says(chat("b")), models=PRICED)
    assert (await world.ask(params={"seed": 3})).provider_id == "b"
    error = await fails(world, provider="a", params={"seed": 3})
    assert (error.code, error.field) == (Code.BAD_REQUEST, "params.seed")


async def test_the_worst_case_is_reserved_while_the_call_is_under_way(world: World) -> None:
    held = Held(chunks("a", finish=None, usage=None, done=False), chunks("b"))
    await world.add("a", held, models=PRICED)
    pieces = world.gateway.stream(ME, Execute("text", "hi"), Streamed())
    assert await anext(pieces) == TextDelta("a")
    assert world.reserved() == 1024 + 32 + 2 + 2 * 100
    held.goes_on.set()
    rest = [piece async for piece in pieces]
    assert isinstance(rest[-1], Finished)
    assert (world.reserved(), world.usage.get_budget("org").spent_micro_usd) == (0, 15)


async def test_a_budget_stops_what_could_pass_it(world: World) -> None:
    vendor = await world.add("a", models=PRICED)
    world.usage.set_default(UsageSettings(Budget(1000)))
    error = await fails(world)
    assert (error.code, vendor.seen) == (Code.RATE_LIMITED, [])
    assert "budget" in error.message


async def test_a_model_of_unknown_price_is_not_asked_under_a_budget(world: World) -> None:
    vendor = await world.add("a", says(chat()))
    error = await fails(world)
    assert (error.code, error.field, vendor.seen) == (Code.UNPROCESSABLE, "model", [])
    world.usage.set_default(UsageSettings(Budget(None)))
    done = await world.ask()
    assert done.cost_micro_usd is None
    assert [told(record) for record in await world.records()] == [("a", "ok", 9, 3, 0)]


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_a_caller_who_leaves_a_stream_ends_it_and_pays_for_what_came(world: World, kind: str) -> None:
    begun = (
        chunks("four", "more", finish=None, usage=None, done=False) if kind == "openai" else spoken("four", "more")[:5]
    )
    held = Held(begun)
    await world.add("a", held, kind=kind, models=PRICED)
    pieces = world.gateway.stream(ME, Execute("text", "hi"), Streamed())
    assert [await anext(pieces), await anext(pieces)] == [TextDelta("four"), TextDelta("more")]
    await pieces.aclose()
    async with asyncio.timeout(LONG_S):
        await held.left.wait()
    used = (1, 2, 5) if kind == "openai" else (9, 2, 13)
    assert [told(record) for record in await world.records()] == [("a", "cancelled", *used)]
    assert world.reserved() == 0


async def test_a_caller_who_leaves_before_the_answer_ends_the_call(world: World) -> None:
    held = Held([])
    await world.add("a", held, models=PRICED)
    asking = asyncio.create_task(world.ask("x" * 400))
    async with asyncio.timeout(LONG_S):
        await held.opened.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await held.left.wait()
    await world.gateway.close()
    assert [told(record) for record in await world.records()] == [("a", "cancelled", 100, 0, 100)]
    assert world.reserved() == 0


async def test_a_stream_that_breaks_is_not_begun_anew(world: World) -> None:
    await world.add("a", streams(chunks("four", finish=None, usage=None, done=False), cut=True), models=PRICED)
    other = await world.add("b", models=(Model("m", price=Price(10**7, 10**7), max_output_tokens=5),))
    pieces = world.gateway.stream(ME, Execute("text", "hi"), Streamed())
    assert await anext(pieces) == TextDelta("four")
    with pytest.raises(AlloydError) as caught:
        await anext(pieces)
    assert caught.value.code is Code.UPSTREAM_FAILED
    assert caught.value.message.startswith("a/m failed in mid-stream")
    assert [told(record) for record in await world.records()] == [("a", "failed", 1, 1, 3)]
    assert (other.seen, world.reserved()) == ([], 0)


async def test_other_modalities_stream_in_one_piece(world: World) -> None:
    pieces = world.gateway.stream(ME, Execute("embedding", ["a"], params={"dimensions": 2}), Streamed())
    (finished,) = [piece async for piece in pieces]
    assert isinstance(finished, Finished)
    assert len(finished.output["embeddings"][0]) == 2


async def test_an_estimate_sends_and_reserves_nothing(world: World) -> None:
    vendor = await world.add("a", models=PRICED)
    found = world.gateway.estimate(ME, Execute("text", "hi", params={"max_tokens": 10}))
    assert (found.provider_id, found.model.id, found.used.output_tokens) == ("a", "m", 10)
    assert found.cost_micro_usd == 1024 + 32 + 2 + 20
    assert (vendor.seen, world.reserved(), await world.records()) == ([], 0, [])


async def test_calls_at_one_time_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alloyd.domain.providers.service.CALLS_MAX", 1)
    held = Held(chunks("a", finish=None, usage=None, done=False))
    await world.add("a", held, models=PRICED)
    pieces = world.gateway.stream(ME, Execute("text", "hi"), Streamed())
    await anext(pieces)
    with pytest.raises(AlloydError) as caught:
        await world.ask(provider="echo")
    assert caught.value.code is Code.UNAVAILABLE
    await pieces.aclose()
    assert (await world.ask(provider="echo")).provider_id == "echo"


async def test_many_calls_at_once_never_pass_the_budget(world: World) -> None:
    """Σ settled ≤ budget, with honest vendors, whatever the order in which they answer."""
    await world.add("a", says(chat(usage={"prompt_tokens": 1050, "completion_tokens": 100})), models=PRICED)
    await world.add("b", says(message(usage={"input_tokens": 40})), kind="anthropic", models=PRICED)
    world.usage.set_default(UsageSettings(Budget(6000)))
    asked = [world.ask(provider=name) for name in "ab" * 20]
    done = await asyncio.gather(*asked, return_exceptions=True)
    refused = [one for one in done if isinstance(one, AlloydError)]
    settled = sum(record["cost_micro_usd"] for record in await world.records())
    assert all(error.code is Code.RATE_LIMITED for error in refused)
    assert refused
    assert 0 < settled <= 6000
    assert (world.usage.get_budget("org").spent_micro_usd, world.reserved()) == (settled, 0)


async def test_something_unforeseen_leaves_no_reservation(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.add("a", models=PRICED)

    async def broken(*_: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(world.providers[0], "execute", broken)
    with pytest.raises(RuntimeError):
        await world.ask()
    assert [told(record)[:2] for record in await world.records()] == [("a", "failed")]
    assert world.reserved() == 0


def test_a_gateway_without_providers_has_echo_only(world: World) -> None:
    assert [view.id for view in world.gateway.list_providers()] == ["echo"]
    assert isinstance(world.gateway, Gateway)
