"""Tells systemd how the daemon is (sd_notify), and pings its watchdog while work makes progress."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from alloyd.log import get_logger

SEND_TIMEOUT_S: Final = 1.0
STATUS_CHARS_MAX: Final = 500

_log: Final = get_logger(__name__)


class Notifier:
    """Sends to the socket at ``address`` (``/path`` or ``@abstract``); with None, every call does nothing.

    A message that cannot be sent is logged: whoever started the daemon may be gone, and the work goes on.
    """

    def __init__(self, address: str | None, watchdog_interval_s: float | None = None) -> None:
        self._address = address
        self.watchdog_interval_s: Final = watchdog_interval_s

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Notifier:
        """From ``$NOTIFY_SOCKET``, ``$WATCHDOG_USEC`` and ``$WATCHDOG_PID``, as systemd sets them."""
        address = env.get("NOTIFY_SOCKET") or None
        if address is not None and address[0] not in "/@":
            _log.warning("NOTIFY_SOCKET is neither a path nor abstract, so systemd hears nothing", address=address)
            address = None
        return cls(address, _interval_s(env) if address else None)

    def ready(self, status: str) -> bool:
        """The start, or a reload, is done. Returns whether it was sent, as all of these do."""
        return self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def status(self, status: str) -> bool:
        """One line for ``systemctl status``."""
        return self._send(f"STATUS={_one_line(status)}")

    def reloading(self) -> bool:
        """A reload begins; :meth:`ready` ends it. systemd wants the time, to tell this reload from an earlier one."""
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> bool:
        """The stop begins."""
        return self._send(f"STOPPING=1\nSTATUS={_one_line(status)}")

    def ping(self) -> bool:
        """The daemon is alive. Missing for $WATCHDOG_USEC, systemd kills and restarts it."""
        return self._send("WATCHDOG=1")

    def _send(self, message: str) -> bool:
        if self._address is None:
            return False
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(SEND_TIMEOUT_S)
                sender.connect(address)
                sender.send(message.encode(errors="backslashreplace"))
        except OSError as error:
            _log.warning("systemd could not be told", about=message.partition("=")[0], reason=error.strerror)
            return False
        return True


async def watchdog(
    notifier: Notifier, check: Callable[[], bool], pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Pings until cancelled, twice in each watchdog period, as long as ``check`` says that work makes progress.

    ``check`` says it for the writer and the scheduler; that this runs says it for the loop. A check that raises
    says no. Returns at once when systemd watches nothing. ``pause`` waits for the seconds it is given.
    """
    if notifier.watchdog_interval_s is None:
        return
    well = True
    while True:
        before, well = well, _is_well(check)
        if well:
            notifier.ping()
        elif before:
            _log.error("no progress: the watchdog is no longer pinged, and systemd will restart the daemon")
        await pause(notifier.watchdog_interval_s)


def _is_well(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except Exception:
        _log.exception("the check of the watchdog failed")
        return False


def _interval_s(env: Mapping[str, str]) -> float | None:
    """Half of the watchdog's period in seconds; None when there is none, or it is meant for another process."""
    period_us, pid = env.get("WATCHDOG_USEC", ""), env.get("WATCHDOG_PID", "")
    if not (period_us.isascii() and period_us.isdigit() and int(period_us) > 0):
        return None
    if pid and pid != str(os.getpid()):
        return None
    return int(period_us) / 2 / 1_000_000


def _one_line(status: str) -> str:
    return " ".join(status.split())[:STATUS_CHARS_MAX]
