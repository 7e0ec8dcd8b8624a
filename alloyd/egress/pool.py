"""The connections made under one policy: they live and are dropped together with it."""

from __future__ import annotations

import ssl

import aiohttp

from alloyd.egress.messages import EgressLimits
from alloyd.egress.policy import EgressPolicy
from alloyd.egress.resolver import CheckedResolver, Lookup, checked_socket

# One header line; the whole header is bounded by EgressLimits.
_HEADER_LINE_BYTES_MAX = 16_384


class Pool:
    """One aiohttp session, the policy its connections were checked by, and how many requests are using it.

    When the policy is replaced the pool is retired: requests under way finish, none starts, and the last one out
    closes it, so that no connection outlives its policy in the pool.
    """

    def __init__(
        self, policy: EgressPolicy, limits: EgressLimits, lookup: Lookup, tls: ssl.SSLContext, user_agent: str
    ) -> None:
        self.policy = policy
        self.users = 0
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(policy, lookup),
            socket_factory=checked_socket,
            use_dns_cache=False,  # a cache would hand out addresses that this hop's check has not seen
            ssl=tls,
            limit=limits.connections_max,
            limit_per_host=limits.connections_per_host_max,
            keepalive_timeout=limits.keepalive_s,
        )
        self.session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # no proxy and no .netrc from the environment
            auto_decompress=False,  # unpacked by us, piece by piece under the limit
            skip_auto_headers=("Content-Type",),
            headers={"User-Agent": user_agent},
            timeout=aiohttp.ClientTimeout(total=None, connect=limits.connect_timeout_s),
            max_line_size=_HEADER_LINE_BYTES_MAX,
            max_field_size=_HEADER_LINE_BYTES_MAX,
            max_headers=limits.response_headers_max,
        )
