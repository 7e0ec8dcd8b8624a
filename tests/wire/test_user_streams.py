"""Streams of users: all of their organizations, narrowed, by ticket, and ended with what opened them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from alloyd.config import EventsConfig
from alloyd.domain.sessions.model import IssuedToken
from alloyd.domain.users.model import User
from alloyd.domain.users.service import CreateUser
from alloyd.events.model import Event
from alloyd.principal import Role
from tests.app import Served, open_app
from tests.identity import PASSWORD
from tests.wire.conftest import Frames


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path, events=EventsConfig(heartbeat_s=1)) as opened:
        for slug in ("acme", "second", "foreign"):
            await opened.key(slug)
        yield opened


@pytest.fixture
async def ann(served: Served) -> User:
    user = await served.app.users.create(CreateUser("ann@example.com", PASSWORD, "acme", Role.MEMBER))
    members = served.app.users.members
    await served.app.database.write(lambda tx: members.add(tx, served.orgs["second"], user.id, Role.VIEWER))
    return user


@pytest.fixture
async def token(served: Served, ann: User) -> IssuedToken:
    return await served.app.sessions.issue(ann.id, "acme", None)


async def _open(served: Served, token: IssuedToken | None, query: str = "") -> tuple[aiohttp.ClientResponse, Frames]:
    headers = {} if token is None else {"Authorization": f"Bearer {token.token}"}
    response = await served.session.get(f"{served.url}/v1/events/stream{query}", headers=headers)
    frames = Frames(response)
    if response.status == 200:
        assert await frames.next_raw() == b": open\n\n"
    return response, frames


async def _tell_everywhere(served: Served) -> None:
    events = [Event(served.orgs[slug], "test.told", slug) for slug in ("foreign", "second", "acme")]
    await served.app.database.write(lambda tx: [tx.emit(event) for event in events] and None)


async def _subjects(frames: Frames, count: int) -> list[Any]:
    return [event["subject"] for event in await frames.take(count)]


async def test_all_organizations_of_the_user_and_no_others(served: Served, token: IssuedToken) -> None:
    response, frames = await _open(served, token, "?kinds=test.told")
    await _tell_everywhere(served)
    assert await _subjects(frames, 2) == ["second", "acme"]
    response.close()


@pytest.mark.parametrize("narrowed", ["acme", "second"])
async def test_narrowed(served: Served, token: IssuedToken, narrowed: str) -> None:
    query = f"?kinds=test.told&organization_id={served.orgs[narrowed]}"
    response, frames = await _open(served, token, query)
    await _tell_everywhere(served)
    await _tell_everywhere(served)
    assert await _subjects(frames, 2) == [narrowed, narrowed]
    response.close()


@pytest.mark.parametrize("path", ["/events/stream", "/events/ws"])
async def test_narrowed_to_what_is_not_ones_own(served: Served, token: IssuedToken, path: str) -> None:
    headers = {"Authorization": f"Bearer {token.token}"}
    said = []
    for org_id in (served.orgs["foreign"], "nowhere"):
        status, answer, _ = await served.ask("GET", f"{path}?organization_id={org_id}", key=None, headers=headers)
        said.append((status, answer["error"]))
    assert said[0] == said[1]
    assert said[0][0] == 404


async def test_websocket(served: Served, token: IssuedToken) -> None:
    headers = {"Authorization": f"Bearer {token.token}"}
    async with served.session.ws_connect(f"{served.url}/v1/events/ws?kinds=test.told", headers=headers) as socket:
        await _tell_everywhere(served)
        assert [(await socket.receive_json())["subject"] for _ in range(2)] == ["second", "acme"]


async def test_by_ticket(served: Served, token: IssuedToken) -> None:
    headers = {"Authorization": f"Bearer {token.token}"}
    ticket = (await served.data("POST", "/auth/stream-ticket", key=None, headers=headers))["ticket"]
    response, frames = await _open(served, None, f"?kinds=test.told&ticket={ticket}")
    await _tell_everywhere(served)
    assert await _subjects(frames, 2) == ["second", "acme"]
    response.close()
    assert (await _open(served, None, f"?ticket={ticket}"))[0].status == 401


async def test_ticket_ends_with_the_sign_in(served: Served, ann: User, token: IssuedToken) -> None:
    headers = {"Authorization": f"Bearer {token.token}"}
    ticket = (await served.data("POST", "/auth/stream-ticket", key=None, headers=headers))["ticket"]
    await served.data("POST", "/auth/revoke", key=None, headers=headers)
    assert (await _open(served, None, f"?ticket={ticket}"))[0].status == 401


async def test_stream_ends_when_the_token_expires(served: Served, token: IssuedToken) -> None:
    _response, frames = await _open(served, token)
    key_response = await served.session.get(
        f"{served.url}/v1/events/stream?kinds=test.told",
        headers={"Authorization": f"Bearer {await served.key('acme')}"},
    )
    served.clock.advance(token.expires_in_s * 1000)
    assert await frames.rest() == []
    await _tell_everywhere(served)
    key_frames = Frames(key_response)
    assert await _subjects(key_frames, 1) == ["acme"]  # a key's goes on
    key_response.close()


async def test_stream_ends_when_the_user_is_disabled(served: Served, ann: User, token: IssuedToken) -> None:
    _response, frames = await _open(served, token, "?kinds=test.told")
    await served.app.users.disable(ann.id)
    assert await frames.rest() == []
    assert (await _open(served, token))[0].status == 401


async def test_stream_covers_a_new_organization_when_it_is_opened_again(
    served: Served, ann: User, token: IssuedToken
) -> None:
    _response, frames = await _open(served, token, "?kinds=test.told")
    members = served.app.users.members
    await served.app.database.write(lambda tx: members.add(tx, served.orgs["foreign"], ann.id, Role.VIEWER))
    assert await frames.rest() == []
    response, frames = await _open(served, token, "?kinds=test.told")
    await _tell_everywhere(served)
    assert await _subjects(frames, 3) == ["foreign", "second", "acme"]
    response.close()
