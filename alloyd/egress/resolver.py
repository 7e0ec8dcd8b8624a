"""Names to checked addresses, and the last look at an address before the socket is made."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from alloyd.egress.errors import EgressError, refused
from alloyd.egress.hosts import Target
from alloyd.egress.policy import EgressPolicy

# Every address of a name is checked; no more than this many are tried.
_ADDRESSES_TRIED_MAX = 16

Lookup = Callable[[str], Awaitable[list[str]]]

# The addresses that the hop in this context may connect to: filled by the check, read where the socket is made.
_approved: ContextVar[set[str]] = ContextVar("egress_approved")


class SystemLookup:
    """The system's name service, on threads of its own: a slow DNS server must not hold up file access."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="alloyd-dns")

    async def __call__(self, host: str) -> list[str]:
        """Every address of ``host``, in the system's order. Raises OSError (gaierror) when there is none."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _getaddrinfo, host)

    def close(self) -> None:
        """Drop waiting look-ups; one that runs ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _getaddrinfo(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as exc:
        raise socket.gaierror(socket.EAI_NONAME, "not a name") from exc
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class CheckedResolver(AbstractResolver):
    """aiohttp's resolver: a name is refused as a whole when one of its addresses is.

    A name that leads both outside and inside is either an attack or a mistake; picking the harmless half would
    leave the choice to whoever runs that name's DNS.
    """

    def __init__(self, policy: EgressPolicy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The checked addresses of ``host``. Raises EgressError ``refused``, or OSError when there is none."""
        texts = await self._lookup(host)
        if not texts:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        results = []
        for text in texts:
            address = ipaddress.ip_address(text)
            why = self._policy.refusal(host, address, port)
            if why is not None:
                raise _not_open(f"{host}:{port}", f"{host} resolves to {address}: {why}")
            results.append(
                ResolveResult(
                    hostname=host,
                    host=str(address),
                    port=port,
                    family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                    proto=0,
                    flags=socket.AI_NUMERICHOST,
                )
            )
        results = [r for r in results if family in (socket.AF_UNSPEC, r["family"])][:_ADDRESSES_TRIED_MAX]
        _approved.get(set()).update(result["host"] for result in results)
        return results

    async def close(self) -> None:
        """Nothing is held here; the look-up belongs to the client."""


def begin_hop(target: Target, policy: EgressPolicy) -> None:
    """Start a hop in this context: nothing is approved but ``target``'s own address, once it passed the check.

    aiohttp asks no resolver about an address, so it is checked here. Raises EgressError ``refused``.
    """
    approved: set[str] = set()
    _approved.set(approved)
    if target.address is not None:
        why = policy.refusal(target.host, target.address, target.port)
        if why is not None:
            raise _not_open(target.where, f"{target.address}: {why}")
        approved.add(str(target.address))


def checked_socket(addr_info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    """aiohttp's socket factory, the last door: a socket only for an address that this hop's check approved.

    Whatever path an address took to get here, it can't be connected to unseen. Raises EgressError ``refused``.
    """
    family, kind, proto, _, sockaddr = addr_info
    if sockaddr[0] not in _approved.get(set()):
        raise _not_open("this host", f"{sockaddr[0]} reached the connector without a check")
    return socket.socket(family, kind, proto)


def _not_open(where: str, log: str) -> EgressError:
    return refused(
        f"outbound requests to {where} are not allowed; an operator can open a network with egress.allow",
        "url",
        log=log,
    )
