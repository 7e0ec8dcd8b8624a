"""The one door out of alloyd: every request checked, connected to the address that was checked, and bounded."""

from __future__ import annotations

import asyncio
import io
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from alloyd.egress.decoding import ACCEPTED
from alloyd.egress.errors import EgressError, EgressKind, too_large, translate
from alloyd.egress.hosts import parse_target
from alloyd.egress.messages import (
    Bounds,
    EgressLimits,
    OutboundRequest,
    OutboundResponse,
    ResponseHeaders,
    check_request,
)
from alloyd.egress.policy import EgressPolicy
from alloyd.egress.pool import Pool
from alloyd.egress.redirects import Hop, next_hop
from alloyd.egress.resolver import Lookup, SystemLookup, begin_hop
from alloyd.egress.stream import OutboundStream

_FAILURES = (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError, ValueError)
_BODYLESS_STATUSES = frozenset({204, 304})


class Outbound:
    """The process's outbound HTTP client (point 8 of the issue: one client for everything that leaves).

    Resolves, checks every address, connects to just that address, checks each redirect again, drops credentials
    across origins, keeps no cookie and reads no proxy from the environment. ``lookup`` replaces the system's name
    service, ``tls`` the system's trust store; both are for tests and unusual hosts.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        limits: EgressLimits,
        *,
        lookup: Lookup | None = None,
        tls: ssl.SSLContext | None = None,
        user_agent: str = "alloyd",
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._system_lookup = SystemLookup(limits.dns_threads)
        self._lookup: Lookup = self._system_lookup if lookup is None else lookup
        self._tls = tls or ssl.create_default_context()
        self._user_agent = user_agent
        self._pool: Pool | None = None
        self._retired: set[Pool] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def replace_policy(self, policy: EgressPolicy) -> None:
        """Check by ``policy`` from the next hop on; no connection made under the old one is used again."""
        if policy == self._policy:
            return
        self._policy = policy
        pool, self._pool = self._pool, None
        if pool is not None:
            self._retired.add(pool)
            self._close_if_idle(pool)

    async def request(self, request: OutboundRequest) -> OutboundResponse:
        """Send ``request`` and read its whole answer. Any status is an answer; raises EgressError otherwise."""
        started = time.monotonic()
        async with self.stream(request) as stream:
            body = await stream.read()
            elapsed_ms = int((time.monotonic() - started) * 1000)
            return OutboundResponse(stream.status, stream.headers, body, stream.url, elapsed_ms)

    @asynccontextmanager
    async def stream(self, request: OutboundRequest) -> AsyncIterator[OutboundStream]:
        """Send ``request`` and give its answer as soon as the header is there; leaving the block hangs up.

        Time runs on while the block does other things, but only reading is cut short by it. Raises EgressError.
        """
        bounds = check_request(request, self._limits)
        deadline = asyncio.get_running_loop().time() + bounds.timeout_s
        hop = _first_hop(request)
        for _ in range(self._limits.redirects_max + 1):
            pool = self._enter()
            try:
                response, headers = await self._send(pool, hop, bounds, deadline)
                try:
                    following = None
                    if request.follow_redirects:
                        locations = headers.get_all("location")
                        following = next_hop(hop, response.status, locations, request.credential_headers)
                    if following is None:
                        _check_length(response, hop, bounds)
                        yield OutboundStream(response, headers, hop.target, bounds, deadline)
                        return
                finally:
                    # Gives the connection back when the body was read to its end, and else closes it.
                    response.release()
            finally:
                self._leave(pool)
            hop = following
        raise EgressError(EgressKind.REDIRECT, f"more than {self._limits.redirects_max} redirects")

    async def close(self) -> None:
        """Close every connection; requests under way fail, later ones are refused. May be called twice."""
        self._closed = True
        pools = {*self._retired, *([self._pool] if self._pool else [])}
        self._pool = None
        self._retired.clear()
        for pool in pools:
            await pool.session.close()
        if self._closing:
            await asyncio.gather(*self._closing)
        self._system_lookup.close()

    async def _send(
        self, pool: Pool, hop: Hop, bounds: Bounds, deadline: float
    ) -> tuple[aiohttp.ClientResponse, ResponseHeaders]:
        begin_hop(hop.target, pool.policy)
        faults: list[Exception] = []
        data: io.BytesIO | AsyncIterator[bytes] | None = None
        if isinstance(hop.body, bytes):
            data = io.BytesIO(hop.body)  # a bare bytes object over 1 MiB makes aiohttp warn
        elif hop.body is not None:
            data = _relay(hop.body, faults)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + bounds.idle_timeout_s)):
                response = await pool.session.request(
                    hop.method, hop.target.url, headers=hop.headers, data=data, allow_redirects=False
                )
        except _FAILURES as exc:
            if faults:
                raise faults[0] from None
            raise translate(exc, hop.target.where) from exc
        try:
            return response, self._check_header(response, hop)
        except EgressError:
            response.close()
            raise

    def _check_header(self, response: aiohttp.ClientResponse, hop: Hop) -> ResponseHeaders:
        if response.status < 200:
            message = f"{hop.target.where} wants to switch protocols"
            raise EgressError(EgressKind.PROTOCOL, message)
        raw = response.raw_headers
        if sum(len(name) + len(value) + 4 for name, value in raw) > self._limits.response_header_bytes_max:
            raise too_large(hop.target.where, self._limits.response_header_bytes_max)
        return ResponseHeaders([(_text(name), _text(value)) for name, value in raw])

    def _enter(self) -> Pool:
        if self._closed:
            raise EgressError(EgressKind.CONNECT, "alloyd is shutting down", retryable=True)
        if self._pool is None:
            self._pool = Pool(self._policy, self._limits, self._lookup, self._tls, self._user_agent)
        self._pool.users += 1
        return self._pool

    def _leave(self, pool: Pool) -> None:
        pool.users -= 1
        self._close_if_idle(pool)

    def _close_if_idle(self, pool: Pool) -> None:
        if pool.users == 0 and pool in self._retired:
            self._retired.discard(pool)
            task = asyncio.get_running_loop().create_task(pool.session.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _first_hop(request: OutboundRequest) -> Hop:
    headers = tuple(request.headers)
    if not any(name.lower() == "accept-encoding" for name, _ in headers):
        headers = (*headers, ("Accept-Encoding", ACCEPTED))
    return Hop(request.method.upper(), parse_target(request.url), headers, request.body)


def _check_length(response: aiohttp.ClientResponse, hop: Hop, bounds: Bounds) -> None:
    if hop.method == "HEAD" or response.status in _BODYLESS_STATUSES:
        return
    if (response.content_length or 0) > bounds.response_bytes_max:
        raise too_large(hop.target.where, bounds.response_bytes_max)


async def _relay(body: AsyncIterator[bytes], faults: list[Exception]) -> AsyncIterator[bytes]:
    # aiohttp turns a fault of the caller's own body into a connection error; this keeps the fault itself.
    try:
        async for chunk in body:
            yield chunk
    except Exception as exc:
        faults.append(exc)
        raise


def _text(raw: bytes) -> str:
    # Never with surrogates, which no JSON writer takes.
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
