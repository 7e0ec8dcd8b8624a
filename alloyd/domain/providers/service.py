"""The gateway: routes a request to who serves it, reserves what it may cost, settles what it did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from alloyd.domain.providers.health import Health
from alloyd.domain.providers.messages import read_prompt
from alloyd.domain.providers.model import (
    TEXT,
    Answer,
    Delta,
    Execute,
    Finished,
    Model,
    Origin,
    Prompt,
    Provider,
    ProviderFault,
    Used,
)
from alloyd.domain.providers.prices import cost_of, first_guess, worst_case
from alloyd.domain.providers.routing import Candidate, candidates, models_of
from alloyd.domain.usage.model import NewUsage, Status
from alloyd.domain.usage.service import UsageService
from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import Clock
from alloyd.log import get_logger
from alloyd.principal import Principal

log = get_logger("alloyd.providers")

NOWHERE: Final = Origin()
ATTEMPTS_MAX: Final = 8
CALLS_MAX: Final = 1024
BUSY_RETRY_S: Final = 2


@dataclass(frozen=True, slots=True)
class Executed:
    """An answer and what it took. ``cost_micro_usd`` None: the price is not known, and nothing is counted.

    ``upstream_s`` is the time spent waiting for providers.
    """

    provider_id: str
    model: str
    modality: str
    output: Any
    used: Used
    cost_micro_usd: int | None
    record_id: str
    upstream_s: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Who would be asked first, and the most that it may use and cost. ``cost_micro_usd`` None: nobody knows."""

    provider_id: str
    model: Model
    modality: str
    used: Used
    cost_micro_usd: int | None


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model in the list of providers."""

    model: Model
    streaming: bool
    healthy: bool


@dataclass(frozen=True, slots=True)
class ProviderView:
    """A provider in the list. ``open``: it is asked for any model that is named together with it."""

    id: str
    kind: str
    modalities: tuple[str, ...]
    models: tuple[ServedModel, ...]
    healthy: bool
    open: bool


@dataclass(slots=True)
class Streamed:
    """How a stream under way stands: what its end is told with. ``upstream_s`` until the first piece."""

    provider_id: str = ""
    model: str = ""
    cost_micro_usd: int | None = None
    record_id: str | None = None
    upstream_s: float = 0.0


@dataclass(slots=True)
class _Attempt:
    """One call of one candidate, from its reservation on."""

    candidate: Candidate
    prompt: Prompt
    reservation: Any
    used: Used = field(default_factory=Used)
    started: float = field(default_factory=time.perf_counter)

    @property
    def ids(self) -> tuple[str, str]:
        return self.candidate.provider.settings.id, self.candidate.model.id


class Gateway:
    """The only door to providers. ``providers`` by id, echo among them."""

    def __init__(self, providers: Iterable[Provider], usage: UsageService, clock: Clock) -> None:
        self._providers: Mapping[str, Provider] = MappingProxyType({one.settings.id: one for one in providers})
        self._usage = usage
        self._clock = clock
        self._health = Health()
        self._calls = 0
        self._settling: set[asyncio.Task[str]] = set()

    @property
    def calls_count(self) -> int:
        """Calls under way."""
        return self._calls

    # -- showing ---------------------------------------------------------------------------------------------

    def list_providers(self) -> list[ProviderView]:
        """Every provider with its models, in the order of the configuration, echo last."""
        return [self._view(provider) for provider in self._providers.values()]

    def _view(self, provider: Provider) -> ProviderView:
        settings, now = provider.settings, self._clock.now_ms()
        served = tuple(
            ServedModel(model, TEXT in model.modalities, self._health.rank(settings.id, model.id, now) < 2)
            for model in models_of(provider)
        )
        used = sorted({modality for one in served for modality in one.model.modalities} & provider.modalities)
        healthy = not served or any(one.healthy for one in served)
        return ProviderView(
            settings.id, settings.kind, tuple(used or sorted(provider.modalities)), served, healthy, settings.open
        )

    def estimate(self, principal: Principal, request: Execute) -> Estimate:
        """What ``request`` would use at most, asked of who would be asked first. Nothing is sent or reserved.

        Raises as :meth:`execute` does before it asks anybody.
        """
        prompt, eligible, _refusals = self._eligible(principal, request)
        first = eligible[0]
        bound = worst_case(first.provider, first.model, prompt)
        return Estimate(first.provider.settings.id, first.model, prompt.modality, bound, _told_cost(first.model, bound))

    # -- asking ----------------------------------------------------------------------------------------------

    async def execute(self, principal: Principal, request: Execute, origin: Origin = NOWHERE) -> Executed:
        """The whole answer; its usage record is durable when this returns.

        Raises ``not_found`` when nobody serves the request, ``bad_request`` with the field, ``rate_limited`` by the
        budget, ``upstream_failed`` when all who serve it failed, each reason in ``details``. When the caller is
        cancelled the call is too, and what it used is recorded.
        """
        prompt, eligible, refusals = self._eligible(principal, request)
        upstream_s = 0.0
        self._enter()
        try:
            for candidate in self._askable(eligible, refusals):
                attempt = self._begin(principal, candidate, prompt)
                try:
                    answer = await candidate.provider.execute(candidate.model, prompt)
                except ProviderFault as fault:
                    upstream_s += time.perf_counter() - attempt.started
                    await self._fail(attempt, fault, refusals, principal, origin)
                    continue
                except BaseException as error:
                    await self._abandon(attempt, error, principal, origin)
                    raise
                upstream_s += time.perf_counter() - attempt.started
                return await self._answered(attempt, answer, principal, origin, upstream_s)
        finally:
            self._calls -= 1
        raise await self._all_failed(principal, prompt, refusals, origin)

    async def stream(
        self, principal: Principal, request: Execute, streamed: Streamed, origin: Origin = NOWHERE
    ) -> AsyncGenerator[Delta]:
        """The answer in pieces, ``Finished`` the last; its usage record is durable before that is given.

        Raises as :meth:`execute`; after the first piece only ``upstream_failed``. Closing it cancels the call, and
        what it used is recorded. ``streamed`` tells who answers.
        """
        prompt, eligible, refusals = self._eligible(principal, request)
        self._enter()
        try:
            for candidate in self._askable(eligible, refusals):
                attempt = self._begin(principal, candidate, prompt)
                begun = False
                try:
                    pieces = candidate.provider.stream(candidate.model, prompt, attempt.used)
                    async with aclosing(pieces) as following:
                        async for delta in following:
                            if not begun:
                                begun = True
                                streamed.upstream_s += time.perf_counter() - attempt.started
                                streamed.provider_id, streamed.model = attempt.ids
                                self._health.succeeded(*attempt.ids)
                            if isinstance(delta, Finished):
                                attempt.used = delta.used
                                streamed.model = delta.model
                                streamed.cost_micro_usd = _told_cost(candidate.model, delta.used)
                                streamed.record_id = await self._settle(attempt, principal, origin, "ok")
                            yield delta
                    if streamed.record_id is None:
                        raise ProviderFault("unreachable", "the stream broke off", retryable=True)
                    return
                except ProviderFault as fault:
                    if begun:
                        self._health.failed(*attempt.ids, fault, self._clock.now_ms())
                        await self._settle(attempt, principal, origin, "failed")
                        raise _broken_off(attempt, fault) from fault
                    streamed.upstream_s += time.perf_counter() - attempt.started
                    await self._fail(attempt, fault, refusals, principal, origin)
                except BaseException as error:
                    if streamed.record_id is None:
                        await self._abandon(attempt, error, principal, origin)
                    raise
        finally:
            self._calls -= 1
        raise await self._all_failed(principal, prompt, refusals, origin)

    async def close(self) -> None:
        """Wait until everything that was used is recorded."""
        if self._settling:
            await asyncio.gather(*self._settling, return_exceptions=True)

    # -- who is asked ----------------------------------------------------------------------------------------

    def _eligible(self, principal: Principal, request: Execute) -> tuple[Prompt, list[Candidate], list[_Refusal]]:
        """The checked prompt and who can be asked it; who can't is among the refusals."""
        found = candidates(self._providers, request, self._health, self._clock.now_ms())
        prompt = read_prompt(request.modality, request.input, request.params)
        budgeted: bool | None = None
        eligible: list[Candidate] = []
        refusals: list[_Refusal] = []
        for candidate in found:
            try:
                candidate.provider.check(candidate.model, prompt)
            except AlloydError as error:
                refusals.append(_Refusal(candidate, "bad_request", error.message, error))
                continue
            if candidate.model.price is None:
                if budgeted is None:
                    budgeted = self._usage.get_budget(principal.org_id).budget.limit_micro_usd is not None
                if budgeted:
                    refusals.append(_Refusal(candidate, "no_price", _NO_PRICE, _unpriced(candidate)))
                    continue
            eligible.append(candidate)
        if not eligible and refusals:
            raise _not_taken(refusals)
        return prompt, eligible, refusals

    def _askable(self, eligible: list[Candidate], refusals: list[_Refusal]) -> Iterable[Candidate]:
        """Those of ``eligible`` who may be asked, looked up when their turn comes."""
        for candidate in eligible[:ATTEMPTS_MAX]:
            now = self._clock.now_ms()
            ids = candidate.provider.settings.id, candidate.model.id
            if self._health.rank(*ids, now) == 2:
                wait_ms = self._health.wait_ms(*ids, now)
                refusals.append(_Refusal(candidate, "unhealthy", "failed lately; it is not asked now", wait_ms=wait_ms))
                continue
            yield candidate

    def _enter(self) -> None:
        if self._calls >= CALLS_MAX:
            raise AlloydError(Code.UNAVAILABLE, "too many calls at one time; try again", retry_after_s=BUSY_RETRY_S)
        self._calls += 1

    def _begin(self, principal: Principal, candidate: Candidate, prompt: Prompt) -> _Attempt:
        most = 0
        if candidate.model.price is not None and not candidate.model.price.free:
            most = cost_of(candidate.model.price, worst_case(candidate.provider, candidate.model, prompt))
        reservation = self._usage.reserve(principal.org_id, most)
        attempt = _Attempt(candidate, prompt, reservation)
        self._health.begin(*attempt.ids)
        return attempt

    # -- how it ended ----------------------------------------------------------------------------------------

    async def _answered(
        self, attempt: _Attempt, answer: Answer, principal: Principal, origin: Origin, upstream_s: float
    ) -> Executed:
        self._health.succeeded(*attempt.ids)
        attempt.used = answer.used
        record_id = await self._settle(attempt, principal, origin, "ok")
        return Executed(
            attempt.ids[0],
            answer.model,
            attempt.prompt.modality,
            answer.output,
            answer.used,
            _told_cost(attempt.candidate.model, answer.used),
            record_id,
            upstream_s,
        )

    async def _fail(
        self, attempt: _Attempt, fault: ProviderFault, refusals: list[_Refusal], principal: Principal, origin: Origin
    ) -> None:
        """It failed before it gave anything. Raises what the caller is told where nobody else should be asked."""
        self._health.failed(*attempt.ids, fault, self._clock.now_ms())
        log.warning("a provider failed", provider=attempt.ids[0], model=attempt.ids[1], reason=fault.message)
        refusal = _Refusal(attempt.candidate, fault.code, fault.message, status=fault.status)
        if fault.retryable:
            self._usage.release(attempt.reservation)
            refusal.wait_ms = fault.retry_after_ms
            refusals.append(refusal)
            return
        attempt.used = Used()
        await self._settle(attempt, principal, origin, "failed")
        if fault.refused:
            message = f"{attempt.ids[0]} refused the request: {fault.message}"
            raise AlloydError(Code.BAD_REQUEST, message, details=[refusal.told()])
        raise _failed([*refusals, refusal])

    async def _abandon(self, attempt: _Attempt, error: BaseException, principal: Principal, origin: Origin) -> None:
        """The caller left, or something unforeseen happened: record what was used by then."""
        self._health.left(*attempt.ids)
        if not attempt.used.input_tokens and not attempt.used.told:
            # Nothing was told yet, but the question was sent: what it holds is counted.
            guess = first_guess(attempt.prompt)
            attempt.used.input_tokens, attempt.used.characters = guess.input_tokens, guess.characters
        left = isinstance(error, asyncio.CancelledError | GeneratorExit)
        await self._settle(attempt, principal, origin, "cancelled" if left else "failed")

    async def _settle(self, attempt: _Attempt, principal: Principal, origin: Origin, status: Status) -> str:
        used = attempt.used
        record = NewUsage(
            *attempt.ids,
            attempt.prompt.modality,
            used.input_tokens,
            used.output_tokens,
            cost_of(attempt.candidate.model.price, used),
            int((time.perf_counter() - attempt.started) * 1000),
            status,
            origin.run_id,
            origin.workflow_id,
            origin.node_key,
            origin.job_id,
            origin.request_id,
        )
        return await self._kept(self._usage.settle(attempt.reservation, principal, record))

    async def _kept(self, settling: Coroutine[Any, Any, str]) -> str:
        """Finish ``settling`` even when the caller is cancelled meanwhile."""
        task = asyncio.ensure_future(settling)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        return await asyncio.shield(task)

    async def _all_failed(
        self, principal: Principal, prompt: Prompt, refusals: list[_Refusal], origin: Origin
    ) -> AlloydError:
        """Record that the call failed, at no cost; what the caller is told."""
        last = refusals[-1].candidate
        attempt = _Attempt(last, prompt, self._usage.reserve(principal.org_id, 0))
        await self._settle(attempt, principal, origin, "failed")
        return _failed(refusals)


def _told_cost(model: Model, used: Used) -> int | None:
    return None if model.price is None else cost_of(model.price, used)


_NO_PRICE: Final = "its price is not known, and a budget holds"


@dataclass(slots=True)
class _Refusal:
    """Why one candidate did not serve the request."""

    candidate: Candidate
    code: str
    message: str
    error: AlloydError | None = None
    status: int | None = None
    wait_ms: int | None = None

    def told(self) -> dict[str, Any]:
        settings, model = self.candidate.provider.settings, self.candidate.model
        told = {"provider_id": settings.id, "model": model.id, "code": self.code, "message": self.message}
        return told if self.status is None else {**told, "status": self.status}


def _not_taken(refusals: list[_Refusal]) -> AlloydError:
    """Nobody can be asked this: the first one's words, which name the field."""
    first = refusals[0].error
    assert first is not None
    return first


def _unpriced(candidate: Candidate) -> AlloydError:
    message = f"{candidate.id}: {_NO_PRICE}; configure the model's price"
    return AlloydError(Code.UNPROCESSABLE, message, field="model")


def _failed(refusals: list[_Refusal]) -> AlloydError:
    waits = [refusal.wait_ms for refusal in refusals if refusal.wait_ms]
    # Worth another try as soon as one of them takes requests again.
    retry_after_s = -(-min(waits) // 1000) if waits else None
    if len(refusals) == 1:
        one = refusals[0]
        message = f"{one.candidate.id} failed: {one.message}"
    else:
        message = f"all {len(refusals)} providers that serve this failed"
    details = [refusal.told() for refusal in refusals]
    return AlloydError(Code.UPSTREAM_FAILED, message, details=details, retry_after_s=retry_after_s)


def _broken_off(attempt: _Attempt, fault: ProviderFault) -> AlloydError:
    refusal = _Refusal(attempt.candidate, fault.code, fault.message, status=fault.status)
    message = f"{attempt.candidate.id} failed in mid-stream: {fault.message}"
    return AlloydError(Code.UPSTREAM_FAILED, message, details=[refusal.told()])
