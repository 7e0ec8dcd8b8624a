"""The page's doors to the API against users of every role: the same permissions as at the API's own doors."""

from __future__ import annotations

import re
from pathlib import Path

from alloyd.domain.sessions.model import Use
from alloyd.kit.ids import new_id
from alloyd.principal import ACTIONS, Role
from alloyd.wire.route import OPERATOR, PLATFORM_ADMIN, PUBLIC, SIGNED_IN
from alloyd.wire.surface import BoundRoute
from tests.app import Served, open_app
from tests.people import PASSWORD, sign_in
from tests.wire.ui.conftest import Visitor, visit
from tests.wire.ui.recipes import FROM_PAGE

DOORS = {"page": "control", "page-private": "private", "page-session": None}


def doors(served: Served) -> list[BoundRoute]:
    """Every route behind the page's doors but the public ones."""
    bound = [bound for bound in served.app.server.bound_routes() if bound.surface.name in DOORS]
    return [each for each in bound if each.route.permission != PUBLIC]


def path_of(bound: BoundRoute) -> str:
    return re.sub(r"\{\w+(?::[^}]*)?\}", lambda _match: new_id(), bound.path)


def expected(bound: BoundRoute, role: Role) -> int | None:
    """403 for who is refused, None for who is let in, whatever the handler then says."""
    permission = bound.route.permission
    if permission == SIGNED_IN:
        return None
    if permission in (PLATFORM_ADMIN, OPERATOR):
        return 403
    return None if role.includes(ACTIONS[permission].role) else 403


async def test_every_door_for_every_role(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served, visit(served) as visitor:
        wrong = []
        for role in Role:
            await sign_in(served, role.value, f"acme {role.value}")
            issued = await served.app.sessions.sign_in(f"{role}@example.com", PASSWORD, None, "local", Use.PAGE)
            headers = {**FROM_PAGE, "Cookie": f"alloyd_session={issued.token}"}
            for bound in doors(served):
                if bound.path == "/ui/session" or bound.takes_ticket:
                    continue  # would end the session; or answers without an end
                got = await status(visitor, bound, headers)
                wanted = expected(bound, role)
                if got != wanted if wanted else got in (401, 403) or got >= 500:
                    wrong.append(f"{bound.route.method} {bound.path} for {role}: {got}, not {wanted or 'let in'}")
        assert not wrong, "\n".join(wrong)


async def test_every_door_without_a_session(served: Served, visitor: Visitor) -> None:
    for bound in doors(served):
        assert await status(visitor, bound, dict(FROM_PAGE)) == 401, bound.path
        mutates = bound.route.method not in ("GET", "HEAD")
        assert await status(visitor, bound, {}) == (403 if mutates else 401), bound.path


async def test_behind_the_doors_are_the_apis_own_routes(served: Served) -> None:
    """Nothing is left out but what has callers of its own: who is no user, or has a token in a header."""
    routes = served.app.server.bound_routes()
    for name, original in DOORS.items():
        if original is None:
            continue
        here = {(each.route.method, each.route.path) for each in routes if each.surface.name == name}
        there = {
            (each.route.method, each.route.path)
            for each in routes
            if each.surface.name == original and each.route.permission != PUBLIC and "/auth/" not in each.path
        } - {("PATCH", "/me/password")}  # answers with a token; the page has /ui/password
        assert here == there
        assert len(here) > 5


async def status(visitor: Visitor, bound: BoundRoute, headers: dict[str, str]) -> int:
    url = visitor.served.url + path_of(bound)
    async with visitor.session.request(bound.route.method, url, headers=headers) as response:
        return response.status
