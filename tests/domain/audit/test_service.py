"""Showing the trail, deleting what is old of it, and noticing at the start that it was touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from alloyd.domain.audit import service
from alloyd.domain.audit.model import PRUNED, AuditFilter, Entry
from tests.domain.audit.conftest import Ledger, request_stamp

NOTHING = AuditFilter()


async def page_through(ledger: Ledger, org_id: str | None, wanted: AuditFilter, limit: int) -> list[list[Entry]]:
    pages, before = [], None
    while True:
        page, before = await ledger.audit.list_page(org_id, wanted, before, limit)
        pages.append(page)
        if before is None:
            return pages


async def subjects(ledger: Ledger, org_id: str | None, **wanted: Any) -> list[str]:
    pages = await page_through(ledger, org_id, AuditFilter(**wanted), 3)
    return [row.target.partition(":")[2] for page in pages for row in page]


@pytest.fixture
async def filled(ledger: Ledger) -> Ledger:
    """t1 to t8, a second apart: odd ones of acme by u1, even ones of other by u2."""
    for number in range(1, 9):
        odd = number % 2 == 1
        stamp = request_stamp("team.create" if number < 5 else "api_key.revoke", "u1" if odd else "u2")
        await ledger.change("acme" if odd else "other", f"t{number}", stamp)
        ledger.clock.advance(1000)
    return ledger


async def test_newest_first_and_of_one_organization(filled: Ledger) -> None:
    assert await subjects(filled, "acme") == ["t7", "t5", "t3", "t1"]
    assert await subjects(filled, "other") == ["t8", "t6", "t4", "t2"]
    assert await subjects(filled, "nobody") == []
    assert await subjects(filled, None) == [f"t{number}" for number in range(8, 0, -1)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"actor": "u2"}, [8, 6, 4, 2]),
        ({"action": "team.create"}, [4, 3, 2, 1]),
        ({"action": "team.*"}, [4, 3, 2, 1]),
        ({"action": "te.*"}, []),
        ({"action": "*"}, []),
        ({"action": "team.%"}, []),
        ({"target": "team:t3"}, [3]),
        ({"outcome": "refused"}, []),
        ({"outcome": "ok", "actor": "u1", "action": "api_key.revoke"}, [7, 5]),
    ],
)
async def test_filters(filled: Ledger, wanted: dict[str, str], found: list[int]) -> None:
    assert await subjects(filled, None, **wanted) == [f"t{number}" for number in found]
    odd = [f"t{number}" for number in found if number % 2]
    assert await subjects(filled, "acme", **wanted) == odd


@pytest.mark.parametrize("org_id", [None, "acme"])
async def test_time_filter_includes_its_beginning_and_not_its_end(filled: Ledger, org_id: str | None) -> None:
    begun = filled.clock.now_ms() - 8000
    found = await subjects(filled, org_id, from_ms=begun + 2000, until_ms=begun + 6000)
    assert found == [f"t{number}" for number in (6, 5, 4, 3) if org_id is None or number % 2]


@pytest.mark.parametrize("org_id", [None, "acme"])
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 8, 50])
async def test_pages_hold_each_row_once(filled: Ledger, org_id: str | None, limit: int) -> None:
    pages = await page_through(filled, org_id, NOTHING, limit)
    assert all(len(page) <= limit for page in pages)
    seqs = [row.seq for page in pages for row in page]
    assert seqs == sorted(set(seqs), reverse=True)
    assert len(seqs) == (8 if org_id is None else 4)


@pytest.mark.parametrize("org_id", [None, "acme"])
async def test_a_rare_row_is_found_over_pages_without_any(
    filled: Ledger, monkeypatch: pytest.MonkeyPatch, org_id: str | None
) -> None:
    monkeypatch.setattr(service, "LOOKS_MAX", 2)
    pages = await page_through(filled, org_id, AuditFilter(target="team:t1"), 2)
    assert [row.target for page in pages for row in page] == ["team:t1"]
    assert len(pages) >= 2
    assert pages[0] == []


async def test_rows_of_one_moment_are_paged_without_a_gap(ledger: Ledger) -> None:
    for number in range(5):
        await ledger.change(subject=f"t{number}")
    pages = await page_through(ledger, "acme", NOTHING, 2)
    assert [row.seq for page in pages for row in page] == [5, 4, 3, 2, 1]


# -- retention -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "rows_max", "left"),
    [
        (lambda now: now - 4000, 1000, [5, 6, 7, 8]),  # by age
        (lambda now: 0, 3, [6, 7, 8]),  # by number
        (lambda now: now - 4000, 2, [7, 8]),
        (lambda now: now + 1, 1000, []),
        (lambda now: 0, 1000, None),
    ],
)
async def test_pruning(filled: Ledger, before: Callable[[int], int], rows_max: int, left: list[int] | None) -> None:
    count = await filled.audit.prune(before(filled.clock.now_ms()), rows_max)
    rows = await filled.rows()
    if left is None:
        assert count == 0
        assert len(rows) == 8
    else:
        assert count == 8 - len(left)
        assert [row.seq for row in rows] == [*left, 9]
        told = rows[-1]
        assert (told.action, told.target, told.count) == (PRUNED, f"audit_log:{count}", count)
        assert (told.actor_kind, told.org_id) == ("system", "")
    verdict = filled.verify()
    assert (verdict.reason, verdict.pruned, verdict.checked) == (None, count, len(rows))


async def test_pruning_again_and_again(filled: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "PRUNED_PER_WRITE_MAX", 2)
    assert await filled.audit.prune(0, 3) >= 5  # each step leaves a row, which counts too
    for _ in range(3):
        await filled.change(subject="more")
        await filled.audit.prune(0, 3)
        assert filled.verify().reason is None
    await filled.audit.prune(filled.clock.now_ms() + 1, 3)
    assert filled.verify().reason is None
    assert len(await filled.rows()) < 4


async def test_tampering_with_what_pruning_left_is_found(filled: Ledger) -> None:
    await filled.audit.prune(0, 3)
    filled.tamper("UPDATE audit_log SET actor_id = 'x' WHERE seq = 6")
    assert filled.verify().bad_seq == 6


async def test_pruning_is_not_undone_by_a_moved_beginning(filled: Ledger) -> None:
    await filled.audit.prune(0, 5)
    filled.tamper(
        "UPDATE audit_ends SET pruned_seq = 5, pruned_hash = (SELECT hash FROM audit_log WHERE seq = 5)",
        "DELETE FROM audit_log WHERE seq <= 5",
    )
    assert filled.verify().reason == "no row tells that retention deleted what is gone: audit_log:5"


async def test_the_start_tells_of_a_chain_that_was_cut(filled: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(service.log, "error", lambda event, **_more: said.append(event))
    await filled.audit.start()
    assert said == []
    filled.tamper("DELETE FROM audit_log WHERE seq > 6")
    await filled.audit.start()
    assert said == ["the audit trail was tampered with; see `alloyd audit verify`"]
