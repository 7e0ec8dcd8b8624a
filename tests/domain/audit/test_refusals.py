"""Refusals are on record, and nobody fills the disk with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alloyd.domain.audit.model import AuditSettings
from alloyd.domain.audit.refusals import SUPPRESSED, WINDOW_MS, RefusalLog, network_of
from alloyd.domain.audit.worker import AuditWorker
from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import ManualClock
from alloyd.kit.stamp import Stamp
from tests.domain.audit.conftest import Ledger


def refusal_from(address: str) -> Stamp:
    return Stamp("team.create", "anonymous", route="POST /v1/teams", status=401, address=address, request_id="r")


def add(log: RefusalLog, address: str, times: int = 1) -> None:
    for _ in range(times):
        log.add(refusal_from(address), "", False)


def told(log: RefusalLog) -> list[tuple[str, str, int]]:
    return [(note.action, note.address, note.count) for note in log.take()]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_an_address_has_so_many_rows_a_minute_and_then_one_that_counts(clock: ManualClock) -> None:
    log = RefusalLog(clock, lambda: AuditSettings(refusals_per_address_max=3, refusals_max=100))
    add(log, "192.0.2.1", 10)
    add(log, "192.0.2.2", 2)
    assert told(log) == [("team.create", "192.0.2.1", 1)] * 3 + [("team.create", "192.0.2.2", 1)] * 2
    add(log, "192.0.2.1", 5)
    assert told(log) == []
    clock.advance(WINDOW_MS)
    assert told(log) == [(SUPPRESSED, "192.0.2.1", 12)]
    add(log, "192.0.2.1", 4)
    assert told(log) == [("team.create", "192.0.2.1", 1)] * 3


def test_all_addresses_together_have_so_many_rows(clock: ManualClock) -> None:
    log = RefusalLog(clock, lambda: AuditSettings(refusals_per_address_max=3, refusals_max=10))
    for number in range(50_000):
        add(log, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(told(log)) == 10
    assert len(log._taken) == 10  # nothing is kept of who has no row
    clock.advance(WINDOW_MS)
    assert told(log) == [(SUPPRESSED, "", 49_990)]


def test_a_network_of_ipv6_is_one_caller(clock: ManualClock) -> None:
    log = RefusalLog(clock, lambda: AuditSettings(refusals_per_address_max=2, refusals_max=100))
    for number in range(9):
        add(log, f"2001:db8::{number}")
    assert len(told(log)) == 2
    assert [note.count for note in log.close()] == [7]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("local", "local"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
    ],
)
def test_network_of(address: str, network: str) -> None:
    assert network_of(address) == network


def test_zero_rows_leave_only_the_count(clock: ManualClock) -> None:
    log = RefusalLog(clock, lambda: AuditSettings(refusals_per_address_max=0, refusals_max=0))
    add(log, "192.0.2.1", 7)
    assert [(note.action, note.count) for note in log.close()] == [(SUPPRESSED, 7)]


async def test_refusals_become_rows_of_the_chain(ledger: Ledger) -> None:
    await ledger.change()
    forbidden = Stamp("team.create", "api_key", "k1", "acme", route="POST /v1/teams", status=403, address="192.0.2.1")
    ledger.audit.refusals.add(forbidden, "team:t1", False)
    ledger.audit.refusals.add(refusal_from("192.0.2.1"), "", True)
    await AuditWorker(ledger.audit).turn()
    _change, refused, failed = await ledger.rows()
    assert (refused.outcome, refused.org_id, refused.actor_id, refused.target) == ("refused", "acme", "k1", "team:t1")
    assert refused.status == 403
    assert (failed.outcome, failed.org_id, failed.actor_kind, failed.status) == ("failed", "", "anonymous", 401)
    assert ledger.verify().checked == 3


async def test_refusals_wait_while_the_disk_is_full(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.audit._settings = lambda: replace(ledger.settings, refusals_max=2)
    worker = AuditWorker(ledger.audit)
    add(ledger.audit.refusals, "192.0.2.1", 3)

    async def full(_fn: object) -> None:
        raise AlloydError(Code.UNAVAILABLE, "nothing was stored: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(ledger.database, "write", full)
        await worker.turn()
        await worker.stop()
    await worker.turn()
    assert len(await ledger.rows()) == 3


async def test_the_end_writes_what_waits(ledger: Ledger) -> None:
    add(ledger.audit.refusals, "192.0.2.1", 40)
    await AuditWorker(ledger.audit).stop()
    rows = await ledger.rows()
    assert [row.count for row in rows] == [1] * 30 + [10]
    assert await ledger.audit.write_refusals() == 0
