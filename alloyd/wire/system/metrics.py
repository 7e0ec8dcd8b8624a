"""`GET /metrics` for Prometheus: counters that the parts keep anyway, read when asked for."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from alloyd.db import Database
from alloyd.errors import AlloydError, Code
from alloyd.events.hub import Hub
from alloyd.wire.auth import read_bearer
from alloyd.wire.route import PUBLIC, Call, Route
from alloyd.wire.server import RouteStats

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "alloyd_"

# What a proxy adds. Whoever sends one of these is not the machine itself.
_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "Via")
_WITHOUT_PORT = re.compile(r":[0-9]*\Z")
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure of another part. ``read`` gives it now; ``counter`` if it only grows. Those of one name, with
    ``labels`` that tell them apart, come one after the other."""

    name: str
    help: str
    read: Callable[[], float]
    counter: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the figures come from. ``routes`` are the statistics of one or more servers."""

    version: str
    database: Database
    hub: Hub
    routes: Callable[[], Iterable[Mapping[tuple[str, str], RouteStats]]]
    gauges: Sequence[Gauge] = field(default_factory=tuple)


class _Collector(Collector):
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterable[Metric]:
        sources = self._sources
        info = GaugeMetricFamily(f"{PREFIX}info", "The running program.", labels=["version"])
        info.add_metric([sources.version], 1)
        yield info
        yield from self._requests()
        for _name, alike in groupby((*self._own_gauges(), *sources.gauges), lambda gauge: gauge.name):
            yield _family(list(alike))

    def _own_gauges(self) -> Sequence[Gauge]:
        database, hub = self._sources.database, self._sources.hub
        stats = database.stats
        return (
            Gauge("db_writes", "Write functions committed.", lambda: stats.writes, counter=True),
            Gauge("db_commits", "Transactions, each of one or more writes.", lambda: stats.commits, counter=True),
            Gauge("db_commit_seconds", "Time spent in commits.", lambda: stats.commit_seconds, counter=True),
            Gauge("db_checkpoints", "Checkpoints of the log.", lambda: stats.checkpoints, counter=True),
            Gauge("db_failures", "Groups of writes that failed.", lambda: stats.failures, counter=True),
            Gauge("db_writes_waiting", "Writes that wait for the writer.", lambda: database.queue_length),
            Gauge("event_last_id", "Id of the newest event.", lambda: hub.last_id),
            Gauge("event_readers", "Live readers of events.", lambda: hub.reader_count),
        )

    def _requests(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            f"{PREFIX}http_requests", "Requests answered.", labels=["method", "route", "status"]
        )
        seconds = CounterMetricFamily(
            f"{PREFIX}http_request_seconds", "Time spent on requests; streams not counted.", labels=["method", "route"]
        )
        for stats in self._sources.routes():
            for (method, route), figures in stats.items():
                for status, count in sorted(figures.by_status.items()):
                    requests.add_metric([method, route, str(status)], count)
                if figures.by_status:
                    seconds.add_metric([method, route], figures.seconds)
        yield requests
        yield seconds


def _family(gauges: Sequence[Gauge]) -> Metric:
    first = gauges[0]
    kind = CounterMetricFamily if first.counter else GaugeMetricFamily
    family = kind(f"{PREFIX}{first.name}", first.help, labels=list(first.labels))
    for gauge in gauges:
        family.add_metric([gauge.labels[label] for label in first.labels], gauge.read())
    return family


class Metrics:
    """The registry of one daemon. ``token()`` is the Bearer token that opens it from afar; None: only this machine."""

    def __init__(self, sources: Sources, token: Callable[[], str | None]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(sources))
        ProcessCollector(namespace=PREFIX.rstrip("_"), registry=self._registry)
        self._token = token

    def render(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)

    def check_access(self, request: web.Request) -> None:
        """Let in this machine and who has the token. Raises ``unauthorized``."""
        if is_this_machine(request):
            return
        given, wanted = read_bearer(request), self._token()
        if given is None or not wanted or not hmac.compare_digest(given.encode(), wanted.encode()):
            raise AlloydError(Code.UNAUTHORIZED, "metrics are for this machine, or with the token of metrics.token")


def is_this_machine(request: web.Request) -> bool:
    """Whether a program on this machine asks for itself.

    Not when a proxy says that it asks for somebody else, and not when the name asked for is another than this
    machine's own: a page in a local browser may have had its name pointed here.
    """
    if any(name in request.headers for name in _FORWARDED):
        return False
    transport = request.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    if not isinstance(peer, tuple):  # the data directory's socket has none: the operator
        return transport is not None and peer is not None
    host = request.headers.get("Host", "").lower()
    name = _WITHOUT_PORT.sub("", host)
    return _is_loopback(peer[0]) and name in _LOOPBACK_NAMES


def _is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)  # how an IPv4 peer looks on a socket for both
    return (mapped or address).is_loopback


def routes(metrics: Metrics) -> list[Route]:
    """The one route. It is public to the pipeline: its access is this contract's own (loopback, or a token)."""

    async def get_metrics(call: Call) -> web.Response:
        metrics.check_access(call.request)
        headers = {
            "Content-Type": MEDIA_TYPE,
            "Cache-Control": "no-store",
            "X-Request-Id": call.request_id,
            "X-Content-Type-Options": "nosniff",
            "Server": "alloyd",
        }
        return web.Response(body=metrics.render(), headers=headers)

    return [
        Route(
            "GET",
            "/metrics",
            get_metrics,
            PUBLIC,
            "Figures for Prometheus; from this machine, or with a Bearer token",
            streams="text/plain",
            statuses=(401,),
        )
    ]
