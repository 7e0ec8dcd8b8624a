"""For each of the page's own routes that change something: one request that succeeds."""

from __future__ import annotations

from dataclasses import replace

from alloyd.domain.sessions.model import Use
from tests.people import PASSWORD
from tests.wire.recipes import Kitchen, Order, Recipe

# What the page sends with everything, and its browser by itself.
FROM_PAGE = {"X-Alloyd-Page": "1", "Sec-Fetch-Site": "same-origin"}


async def _sign_in(kitchen: Kitchen) -> Order:
    person = await kitchen.person("acme member")
    return Order("/ui/session", {"email": person.user.email, "password": PASSWORD}, None, headers=dict(FROM_PAGE))


async def _sign_out(kitchen: Kitchen) -> Order:
    person = await kitchen.person("acme member")
    sessions = kitchen.served.app.sessions
    token = (await sessions.sign_in(person.user.email, PASSWORD, None, "127.0.0.1", Use.PAGE)).token
    return Order("/ui/session", None, None, headers={**FROM_PAGE, "Cookie": f"alloyd_session={token}"})


async def _change_password(kitchen: Kitchen) -> Order:
    body = {"current_password": PASSWORD, "new_password": f"{PASSWORD} indeed"}
    return replace(await _sign_out(kitchen), path="/ui/password", body=body)


RECIPES: dict[str, Recipe] = {
    "POST /ui/session": _sign_in,
    "PATCH /ui/password": _change_password,
    "DELETE /ui/session": _sign_out,
}
