"""Looks at the daemon from outside, through its reverse proxy: whether requests and live events get through."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp
from yarl import URL

from alloyd.cli.client import Client
from alloyd.cli.errors import NoDaemon, Refused
from alloyd.cli.examination import Finding, Subject, fault, ok
from alloyd.cli.offline import SERVE

ANSWER_TIMEOUT_S: Final = 10.0
# The daemon says something as soon as a stream is open; a proxy that buffers keeps it.
STREAM_TIMEOUT_S: Final = 5.0

_BUFFERING: Final = (
    "switch response buffering off for this address (nginx: proxy_buffering off; and proxy_read_timeout 1h;)"
)
_REACHING: Final = "look at the proxy's log; it has to pass on to the address that `alloyd serve` tells"


async def check_proxy(url: str, subject: Subject) -> list[Finding]:
    """What gets through at ``url``: a plain request first, then the begin of a stream."""
    base = URL(url)
    if base.scheme not in ("http", "https") or not base.host:
        return [fault(f"{url} is no address of a web server", "give one such as https://alloyd.example.com")]
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        health = await _check_health(session, base / "healthz")
        if health is not None:
            return [health]
        reached = ok(f"{url} reaches a daemon")
        if subject.owner is None or subject.owner.purpose != SERVE:
            return [reached, fault("live events can't be tried without the daemon", "start it with `alloyd serve`")]
        return [reached, await _check_stream(session, base / "v1" / "events" / "stream", subject)]


async def _check_health(session: aiohttp.ClientSession, url: URL) -> Finding | None:
    try:
        async with session.get(url) as response:
            if response.status == 200 and (await response.json()).get("status") == "ok":
                return None
            return fault(f"{url} answers {response.status}", _REACHING)
    except (aiohttp.ClientError, ValueError, AttributeError, TimeoutError, OSError) as error:
        return fault(f"{url} does not answer: {error or type(error).__name__}", _REACHING)


async def _check_stream(session: aiohttp.ClientSession, url: URL, subject: Subject) -> Finding:
    try:
        async with Client(subject.data_dir.socket, None, offline=False) as client:
            ticket = (await client.post("/v1/auth/stream-ticket"))["ticket"]
    except (NoDaemon, Refused) as error:
        return fault(f"the daemon gives no ticket for a stream: {error}", "look at the daemon's log")
    try:
        async with asyncio.timeout(STREAM_TIMEOUT_S), session.get(url, params={"ticket": ticket}) as response:
            if response.status == 401:
                return fault(f"{url} knows nothing of this daemon's tickets", "the proxy passes on to another daemon")
            if response.status != 200:
                return fault(f"{url} answers {response.status}", _REACHING)
            await response.content.readany()
    except TimeoutError:
        return fault(f"a stream of events says nothing for {STREAM_TIMEOUT_S:g} s: it is buffered", _BUFFERING)
    except (aiohttp.ClientError, OSError) as error:
        return fault(f"a stream of events breaks off: {error or type(error).__name__}", _REACHING)
    return ok("live events come through unbuffered")
