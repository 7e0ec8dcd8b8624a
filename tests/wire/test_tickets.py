"""One-time tickets: alone, and as a credential of streams."""

from __future__ import annotations

import pytest

from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import ManualClock
from alloyd.principal import Kind, Principal, Role
from alloyd.wire import tickets as tickets_module
from alloyd.wire.tickets import StreamTickets

from .conftest import KEY, RUN, Daemon, event


def caller(id_: str = "one") -> Principal:
    return Principal(Kind.KEY, id_, "org-a", Role.VIEWER, frozenset({"control"}))


def test_a_ticket_is_good_once_and_for_a_while() -> None:
    clock = ManualClock()
    tickets = StreamTickets(clock)
    first, second, third = (tickets.issue(caller()) for _ in range(3))
    assert len({first, second, third}) == 3
    assert len(first) == 43
    assert tickets.redeem(first) == caller()
    assert tickets.redeem(first) is None
    clock.advance(29_999)
    assert tickets.redeem(second) == caller()
    clock.advance(1)
    assert tickets.redeem(third) is None
    assert tickets.redeem("") is tickets.redeem("\udcff") is None
    assert len(tickets) == 0


def test_tickets_of_a_revoked_key_are_void_and_no_others() -> None:
    tickets = StreamTickets(ManualClock())
    mine, other = tickets.issue(caller()), tickets.issue(caller("two"))
    tickets.revoke("one")
    tickets.revoke("nobody")
    assert tickets.redeem(mine) is None
    assert tickets.redeem(other) == caller("two")


def test_their_number_is_bounded_by_caller_and_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets_module, "TICKETS_PER_PRINCIPAL_MAX", 2)
    monkeypatch.setattr(tickets_module, "TICKETS_MAX", 3)
    clock = ManualClock()
    tickets = StreamTickets(clock)
    tickets.issue(caller())
    tickets.issue(caller())
    for who in ("one", "two", "three"):
        if who == "two":
            tickets.issue(caller("two"))
            continue
        with pytest.raises(AlloydError) as refused:
            tickets.issue(caller(who))
        assert (refused.value.code, refused.value.retry_after_s) == (Code.RATE_LIMITED, 30)
    clock.advance(30_000)
    tickets.issue(caller())
    assert len(tickets) == 1


async def _ticket(daemon: Daemon) -> str:
    status, body, headers = await daemon.get("/v1/auth/stream-ticket", method="POST")
    assert (status, body["data"]["expires_in"], headers["Cache-Control"]) == (200, 30, "no-store")
    return str(body["data"]["ticket"])


async def test_it_opens_one_stream_of_its_caller(daemon: Daemon) -> None:
    for path in (f"/v1/workflow-runs/{RUN}/events", "/v1/events/stream"):
        ticket = await _ticket(daemon)
        stream = await daemon.open(f"{path}?ticket={ticket}", key=None)
        await daemon.emit(event(1))
        assert len(await stream.take(1)) == 1
        for key in (None, KEY):  # a spent ticket is not made good by a key beside it
            status, body, _ = await daemon.get(f"{path}?ticket={ticket}", key)
            assert (status, body["error"]["code"]) == (401, "unauthorized")
        daemon.hub.close_tagged("one", "revoked")  # the stream counts as its key's
        assert await stream.rest() == []
    socket = await daemon.open_ws(f"/v1/events/ws?ticket={await _ticket(daemon)}", key=None)
    await daemon.emit(event(1))
    assert (await socket.receive_json())["payload"] == {"n": 1}


async def test_it_is_void_once_its_key_is_revoked_or_time_is_up(daemon: Daemon) -> None:
    revoked = await _ticket(daemon)
    daemon.hub.close_tagged("one", "revoked")
    late = await _ticket(daemon)
    daemon.clock.advance(30_000)
    for ticket in (revoked, late):
        assert (await daemon.get(f"/v1/events/stream?ticket={ticket}", None))[0] == 401


@pytest.mark.parametrize("name", ["ticket", "access_token", "api-key", "api_key", "token", "key", "authorization"])
async def test_nothing_that_lasts_is_taken_from_a_query(daemon: Daemon, name: str) -> None:
    for path in ("/v1/events/stream", "/v1/echo/x"):
        assert (await daemon.get(f"{path}?{name}={KEY}", None))[0] == 401


async def test_it_opens_nothing_but_streams(daemon: Daemon) -> None:
    ticket = await _ticket(daemon)
    assert (await daemon.get(f"/v1/echo/x?ticket={ticket}", None))[0] == 401
    await daemon.open(f"/v1/events/stream?ticket={ticket}", key=None)


async def test_asking_for_one_needs_a_credential(daemon: Daemon) -> None:
    assert (await daemon.get("/v1/auth/stream-ticket", None, method="POST"))[0] == 401
