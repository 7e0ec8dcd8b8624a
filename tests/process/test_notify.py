"""What systemd hears, on a real datagram socket."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.log.pipe import PIPE
from alloyd.process.notify import STATUS_CHARS_MAX, Notifier, watchdog

Heard = Callable[[], list[str]]


@pytest.fixture
def logged() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    stream = io.StringIO()
    PIPE.open(stream, console=False)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    PIPE.open(None, console=False)


def heard_on(address: str) -> Iterator[tuple[socket.socket, Heard]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(address)
        server.setblocking(False)

        def heard() -> list[str]:
            messages = []
            while True:
                try:
                    messages.append(server.recv(4096).decode())
                except BlockingIOError:
                    return messages

        yield server, heard


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def heard(address: str) -> Iterator[Heard]:
    for _, heard in heard_on(address):
        yield heard


def test_each_message(address: str, heard: Heard) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})
    assert notifier.ready("serving on http://127.0.0.1:3001")
    assert notifier.status("3 runs")
    assert notifier.stopping("draining")
    assert notifier.ping()
    assert heard() == [
        "READY=1\nSTATUS=serving on http://127.0.0.1:3001",
        "STATUS=3 runs",
        "STOPPING=1\nSTATUS=draining",
        "WATCHDOG=1",
    ]


def test_a_reload_has_the_time_of_the_monotonic_clock(address: str, heard: Heard) -> None:
    before = time.monotonic_ns() // 1000
    assert Notifier(address).reloading()
    after = time.monotonic_ns() // 1000
    (message,) = heard()
    match = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", message)
    assert match
    assert before <= int(match[1]) <= after


def test_a_status_cannot_say_anything_else(address: str, heard: Heard) -> None:
    Notifier(address).status("a\nSTOPPING=1\r\n\udc80" + "x" * 2 * STATUS_CHARS_MAX)
    (message,) = heard()
    assert message.startswith("STATUS=a STOPPING=1 \\udc80xxx")
    assert "\n" not in message
    assert len(message) < STATUS_CHARS_MAX + 20


def test_an_abstract_socket() -> None:
    name = f"alloyd-test-{secrets.token_hex(8)}"
    for _, heard in heard_on(f"\0{name}"):
        assert Notifier.from_environment({"NOTIFY_SOCKET": f"@{name}"}).ready("x")
        assert heard() == ["READY=1\nSTATUS=x"]


@pytest.mark.parametrize("env", [{}, {"NOTIFY_SOCKET": ""}])
def test_without_systemd_nothing_happens(env: dict[str, str], logged) -> None:
    notifier = Notifier.from_environment({**env, "WATCHDOG_USEC": "1000"})
    assert not notifier.ready("x")
    assert not notifier.ping()
    assert notifier.watchdog_interval_s is None
    assert logged() == []


def test_a_socket_of_another_kind_is_told_once(logged) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": "vsock:2:1234"})
    assert not notifier.ready("x")
    assert [(entry["level"], entry["address"]) for entry in logged()] == [("warning", "vsock:2:1234")]


@pytest.mark.parametrize("kind", ["absent", "full", "long"])
def test_a_socket_that_does_not_take_it_stops_nobody(address: str, logged, monkeypatch, kind: str) -> None:
    monkeypatch.setattr("alloyd.process.notify.SEND_TIMEOUT_S", 0.0)
    if kind == "long":
        address += "x" * 200
    if kind != "full":
        assert not Notifier(address).ready("x")
    else:
        for _ in heard_on(address):
            notifier = Notifier(address)
            assert any(not notifier.ready("x") for _ in range(10_000))
    assert logged()[0]["event"] == "systemd could not be told"
    assert logged()[0]["about"] == "READY"


class TestInterval:
    @pytest.mark.parametrize(
        ("env", "interval_s"),
        [
            ({"WATCHDOG_USEC": "30000000"}, 15.0),
            ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
            ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
            ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "x"}, None),
            ({"WATCHDOG_USEC": "0"}, None),
            ({"WATCHDOG_USEC": "-5"}, None),
            ({"WATCHDOG_USEC": "soon"}, None),
            ({"WATCHDOG_USEC": "²"}, None),
            ({}, None),
        ],
    )
    def test_it_is_half_the_period_if_meant_for_us(self, env: dict[str, str], interval_s: float | None) -> None:
        assert Notifier.from_environment({"NOTIFY_SOCKET": "/x", **env}).watchdog_interval_s == interval_s


class TestWatchdog:
    async def run(self, address: str, answers: list[bool | Exception]) -> list[float]:
        """Runs the watchdog until the answers are used up; gives how long it paused in between."""
        pauses: list[float] = []
        remaining = iter(answers)

        def check() -> bool:
            answer = next(remaining)
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == len(answers):
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await watchdog(Notifier(address, 7.5), check, pause)
        return pauses

    async def test_it_pings_while_there_is_progress(self, address: str, heard: Heard) -> None:
        assert await self.run(address, [True, True, True]) == [7.5] * 3
        assert heard() == ["WATCHDOG=1"] * 3

    async def test_it_is_silent_without_and_goes_on_after(self, address: str, heard: Heard, logged) -> None:
        await self.run(address, [True, False, False, True, False])
        assert heard() == ["WATCHDOG=1"] * 2
        assert [entry["level"] for entry in logged()] == ["error", "error"]

    async def test_a_check_that_raises_says_no(self, address: str, heard: Heard, logged) -> None:
        await self.run(address, [RuntimeError("broken"), True])
        assert heard() == ["WATCHDOG=1"]
        assert "RuntimeError: broken" in logged()[0]["exception"]

    async def test_nothing_watches_nothing_runs(self, address: str, heard: Heard) -> None:
        await watchdog(Notifier(address, None), lambda: True)
        assert heard() == []

    async def test_it_pings_in_real_time_until_cancelled(self, address: str) -> None:
        for server, _ in heard_on(address):
            env = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000", "WATCHDOG_PID": str(os.getpid())}
            task = asyncio.create_task(watchdog(Notifier.from_environment(env), lambda: True))
            for _ in range(3):
                assert await asyncio.get_running_loop().sock_recv(server, 100) == b"WATCHDOG=1"
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
