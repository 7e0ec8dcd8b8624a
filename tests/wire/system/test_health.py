"""Health and readiness, as probes and proxies see them."""

from __future__ import annotations

import asyncio

import pytest

from alloyd.wire.system import health
from alloyd.wire.system.health import Readiness

from ..conftest import Daemon  # noqa: TID252  # the fixtures of the contracts


@pytest.mark.parametrize("path", ["/healthz", "/healthz/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_it_lives(daemon: Daemon, path: str, method: str) -> None:
    status, body, headers = await daemon.get(path, None, method)
    assert (status, headers["Content-Length"], headers["Cache-Control"]) == (200, "15", "no-store")
    assert body == (None if method == "HEAD" else {"status": "ok"})


async def test_it_is_ready(daemon: Daemon) -> None:
    status, body, headers = await daemon.get("/readyz", None)
    assert (status, body) == (200, {"status": "ok", "checks": {"database": "ok", "disk": "ok"}})
    assert "Retry-After" not in headers


@pytest.mark.parametrize("path", ["/readyz", "/readyz/"])
@pytest.mark.parametrize(
    ("fault", "told"), [("less than 256 MiB free", "less than 256 MiB free"), ("raise", "failing")]
)
async def test_the_failing_part_is_named(daemon: Daemon, path: str, fault: str, told: str) -> None:
    daemon.faults["disk"] = fault
    status, body, headers = await daemon.get(path, None)
    assert (status, headers["Retry-After"]) == (503, "5")
    assert body == {"status": "unavailable", "checks": {"database": "ok", "disk": told}}
    assert (await daemon.get("/healthz", None))[0] == 200
    daemon.faults.clear()
    assert (await daemon.get("/readyz", None))[0] == 200


async def test_it_is_not_ready_while_draining(daemon: Daemon) -> None:
    daemon.readiness.draining = True
    status, body, _ = await daemon.get("/readyz", None)
    assert (status, body["status"], body["checks"]["daemon"]) == (503, "unavailable", "draining")


async def test_a_part_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.01)

    async def hang() -> None:
        await asyncio.Event().wait()

    ready = await Readiness([("scheduler", hang)]).examine()
    assert (ready.status, ready.checks) == ("unavailable", {"scheduler": "does not answer"})


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/healthz/more", 404, "not_found"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("DELETE", "/readyz/", 405, "method_not_allowed"),
        ("PUT", "/openapi.json", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_is_refused_in_bare_json(
    daemon: Daemon, method: str, path: str, status: int, code: str
) -> None:
    given, body, headers = await daemon.get(path, None, method)
    assert (given, body["error"], set(body)) == (status, code, {"error", "message"})
    assert headers.get("Allow") == ("GET, HEAD" if status == 405 else None)
