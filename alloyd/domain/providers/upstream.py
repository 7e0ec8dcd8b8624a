"""One request to a provider's server: sent through the one door out, its failures told in one vocabulary."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final

import msgspec

from alloyd.domain.providers.eventstream import EventParser, EventTooLargeError, ServerEvent
from alloyd.domain.providers.model import ProviderFault, ProviderSettings
from alloyd.egress import EgressError, EgressKind, Outbound, OutboundRequest, OutboundStream
from alloyd.egress.retry_after import retry_after_ms
from alloyd.kit.clock import Clock

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
STREAM_BYTES_MAX: Final = 64 * 1024 * 1024
ERROR_BODY_BYTES_MAX: Final = 16 * 1024
ERROR_WORDS_MAX: Final = 300
_RETRYABLE: Final = frozenset({408, 409, 425, 429})
_ACCOUNT: Final = frozenset({401, 402, 403})


class Upstream:
    """A provider's server. ``headers`` carry its credential."""

    def __init__(
        self, settings: ProviderSettings, outbound: Outbound, clock: Clock, headers: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._outbound = outbound
        self._clock = clock
        self._headers = tuple({"Content-Type": "application/json", **headers}.items())
        self._secret = settings.api_key

    async def ask(self, path: str, body: Any) -> bytes:
        """The whole body of a successful answer. Raises ProviderFault."""
        request = self._request(path, body, self._settings.timeout_s, ANSWER_BYTES_MAX, None)
        try:
            async with self._outbound.stream(request) as stream:
                await self._check(stream)
                return await stream.read()
        except EgressError as error:
            raise _fault_of(error) from error

    async def ask_json(self, path: str, body: Any) -> Any:
        """As :meth:`ask`, decoded."""
        return decode_object(await self.ask(path, body))

    async def events(self, path: str, body: Any) -> AsyncGenerator[ServerEvent]:
        """The events of a successful answer as they come. Raises ProviderFault; leaving early hangs up."""
        settings = self._settings
        request = self._request(path, body, settings.timeout_s, STREAM_BYTES_MAX, settings.first_byte_timeout_s)
        try:
            async with self._outbound.stream(request) as stream:
                await self._check(stream)
                kind = stream.headers.get("content-type").partition(";")[0].strip().lower()
                if kind != "text/event-stream":
                    raise bad_answer(f"the answer is {kind[:60] or 'of no type'}, not a stream of events")
                parser = EventParser()
                async with aclosing(stream.chunks()) as chunks:
                    async for chunk in chunks:
                        for event in parser.feed(chunk):
                            yield event
                for event in parser.finish():
                    yield event
        except EgressError as error:
            raise _fault_of(error) from error
        except EventTooLargeError:
            raise bad_answer("one event of the stream is too large") from None

    def _request(
        self, path: str, body: Any, timeout_s: float, bytes_max: int, idle_timeout_s: float | None
    ) -> OutboundRequest:
        return OutboundRequest(
            method="POST",
            url=self._settings.base_url.rstrip("/") + path,
            headers=self._headers,
            body=msgspec.json.encode(body),
            timeout_s=timeout_s,
            idle_timeout_s=None if idle_timeout_s is None else min(idle_timeout_s, timeout_s),
            response_bytes_max=bytes_max,
            follow_redirects=False,  # a key goes where the operator said, nowhere else
        )

    async def _check(self, stream: OutboundStream) -> None:
        status = stream.status
        if 200 <= status < 300:
            return
        words = self._words(await stream.read_beginning(ERROR_BODY_BYTES_MAX))
        told = f"status {status}" + (f": {words}" if words else "")
        asked = stream.headers.get("retry-after")
        if status in _RETRYABLE or status >= 500:
            after_ms = retry_after_ms(asked, self._clock.now_ms()) if asked else None
            code = "rate_limited" if status == 429 else "unavailable"
            raise ProviderFault(code, told, retryable=True, retry_after_ms=after_ms, status=status)
        if status in _ACCOUNT or status == 404:
            # Wrong key, empty account, no such model: this provider's trouble, so another one may do.
            raise ProviderFault("rejected", told, retryable=True, status=status)
        if 300 <= status < 400:
            raise ProviderFault("bad_answer", f"status {status}: redirects are not followed", status=status)
        raise ProviderFault("refused", told, refused=True, status=status)

    def _words(self, body: bytes) -> str:
        """What the error body says, bounded and without the key."""
        try:
            found = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ""
        error = found.get("error", found) if isinstance(found, dict) else None
        words = error.get("message") if isinstance(error, dict) else error
        if not isinstance(words, str):
            return ""
        if self._secret:
            words = words.replace(self._secret, "***")
        return "".join(char if char.isprintable() else " " for char in words[:ERROR_WORDS_MAX])


def decode_object(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises ProviderFault when it is none."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise bad_answer("the answer is not JSON") from None
    if not isinstance(found, dict):
        raise bad_answer("the answer is not a JSON object")
    return found


def bad_answer(message: str) -> ProviderFault:
    """The provider answered, but not what its API says: another one may do better."""
    return ProviderFault("bad_answer", message, retryable=True)


def _fault_of(error: EgressError) -> ProviderFault:
    if error.kind is EgressKind.REFUSED:
        return ProviderFault("not_allowed", error.message)
    if error.kind is EgressKind.TIMEOUT:
        return ProviderFault("timeout", error.message, retryable=True)
    if error.kind is EgressKind.TOO_LARGE:
        return ProviderFault("too_large", error.message)
    return ProviderFault("unreachable", error.message, retryable=True)
