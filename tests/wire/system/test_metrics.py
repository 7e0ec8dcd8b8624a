"""Figures for Prometheus, and who may read them."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.app import open_app

from ..conftest import Daemon, event  # noqa: TID252  # the fixtures of the contracts


async def read(daemon: Daemon, **headers: str) -> tuple[int, str, str]:
    async with daemon.session.get(daemon.url("/metrics"), headers=headers) as response:
        return response.status, await response.text(), response.headers["Content-Type"]


async def test_the_figures_follow_what_happens(daemon: Daemon) -> None:
    await daemon.get("/v1/echo/x")
    await daemon.get("/v1/echo/x", None)
    await daemon.emit(event(1), event(2))
    await daemon.open("/v1/events/stream")
    status, text, kind = await read(daemon)
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["alloyd_info", "9.9.9"] == 1
    assert samples["alloyd_http_requests_total", "/v1/echo/{name}", "200", "GET"] == 1
    assert samples["alloyd_http_requests_total", "/v1/echo/{name}", "401", "GET"] == 1
    assert samples["alloyd_http_request_seconds_total", "/v1/echo/{name}", "GET"] > 0
    assert samples[("alloyd_event_last_id",)] == 2
    assert samples[("alloyd_event_readers",)] == 1
    assert samples[("alloyd_db_writes_total",)] == samples[("alloyd_db_commits_total",)] == 1
    assert samples[("alloyd_db_writes_waiting",)] == 0
    assert samples[("alloyd_streams",)] == 7
    assert (samples["alloyd_lag", "a"], samples["alloyd_lag", "b"]) == (3, 4)
    assert text.count("# TYPE alloyd_lag gauge") == 1
    assert samples[("alloyd_process_resident_memory_bytes",)] > 0
    assert not any(name.startswith("python_") for name, *_ in samples)


async def test_how_far_each_consumer_of_events_is(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        await served.publish({"key": "a", "operation": "workflow.noop"})
        for one in (served.app.awaited_events, served.app.triggers.consumer, served.app.webhook_events):
            await one.settle()
        async with served.session.get(f"{served.url}/metrics") as response:
            families = {family.name: family for family in text_string_to_metric_families(await response.text())}
    for name in ("alloyd_event_consumer_lag", "alloyd_event_consumer_skipped"):
        found = {sample.labels["consumer"]: sample.value for sample in families[name].samples}
        assert found == {"event waits": 0, "triggers": 0, "webhooks": 0}


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"Host": "alloyd.example.com"},
        {"Host": "localhost.evil.com:3001"},
    ],
)
async def test_who_comes_through_a_proxy_or_a_foreign_name_needs_the_token(
    daemon: Daemon, headers: dict[str, str]
) -> None:
    for token in (None, "the-token"):
        daemon.metrics_token = token
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}, {"api-key": "the-token"}):
            status, body, answer = await daemon.get("/metrics", None, headers={**headers, **given})
            assert (status, body["error"], answer["WWW-Authenticate"]) == (401, "unauthorized", "Bearer")
    assert (await read(daemon, **headers, Authorization="Bearer the-token"))[0] == 200


@pytest.mark.parametrize("host", ["localhost", "localhost:3001", "127.0.0.1:9", "[::1]", "[::1]:3001", "LOCALHOST"])
async def test_this_machine_needs_no_token(daemon: Daemon, host: str) -> None:
    daemon.metrics_token = "the-token"
    assert (await read(daemon, Host=host))[0] == 200
