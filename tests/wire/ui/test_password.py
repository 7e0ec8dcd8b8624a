"""The page's own way to change a password: its cookie goes on, all else ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alloyd.domain.sessions.model import Use
from tests.app import Served, open_app
from tests.people import PASSWORD, sign_in
from tests.wire.ui.recipes import FROM_PAGE

NEW = "another battery staple"


async def _ask(served: Served, method: str, path: str, token: str, body: Any = None) -> tuple[int, Any, str]:
    headers = {**FROM_PAGE, "Cookie": f"alloyd_session={token}"}
    async with served.session.request(method, f"{served.url}{path}", json=body, headers=headers) as response:
        return response.status, await response.json(), response.headers.get("Set-Cookie", "")


async def test_change_keeps_this_session_and_ends_the_others(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        person = await sign_in(served, "ann", "acme member")

        async def session() -> str:
            issued = await served.app.sessions.sign_in(person.user.email, PASSWORD, None, "127.0.0.1", Use.PAGE)
            return issued.token

        mine, other = await session(), await session()
        wrong = {"current_password": "wrong", "new_password": NEW}
        status, refused, cookie = await _ask(served, "PATCH", "/ui/password", mine, wrong)
        assert (status, cookie) == (403, "")
        assert "current_password" in str(refused)
        right = {**wrong, "current_password": PASSWORD}
        assert (await _ask(served, "PATCH", "/ui/v1/me/password", mine, right))[0] == 404  # its answer is a token
        status, _session, cookie = await _ask(served, "PATCH", "/ui/password", mine, right)
        assert status == 200
        renewed = cookie.partition("=")[2].partition(";")[0]
        for token, expected in ((mine, 401), (other, 401), (renewed, 200)):
            assert (await _ask(served, "GET", "/ui/session", token))[0] == expected
        assert "HttpOnly" in cookie
