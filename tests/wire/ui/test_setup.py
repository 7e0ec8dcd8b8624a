"""The first user: made once, with the link that was shown, and by nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alloyd.config.model import UiConfig
from alloyd.domain.setup.service import ATTEMPTS_PER_ADDRESS, LINK_TTL_MS
from alloyd.domain.users.service import CreateUser
from alloyd.errors import AlloydError, Code
from tests.app import Served, open_app
from tests.people import PASSWORD
from tests.wire.ui.conftest import Visitor

FIRST = {"email": "first@example.com", "password": PASSWORD}


async def state(visitor: Visitor) -> bool:
    due: bool = (await visitor.ask("GET", "/ui/state"))[1]["data"]["setup_due"]
    return due


async def test_the_first_user_owns_everything_and_is_signed_in(served: Served, visitor: Visitor) -> None:
    assert await state(visitor)
    token = await served.app.setup.make_token()
    status, answer, headers = await visitor.ask("POST", "/ui/setup", {**FIRST, "token": token, "display_name": " A "})
    data = answer["data"]
    assert status == 201
    assert (data["display_name"], data["role"], data["platform_admin"]) == ("A", "owner", True)
    assert [each["slug"] for each in data["organizations"]] == ["default"]
    assert "HttpOnly" in headers["Set-Cookie"]
    assert (await visitor.ask("GET", "/ui/session"))[1]["data"]["email"] == FIRST["email"]
    assert not await state(visitor)
    rows = await visitor.ask("GET", "/ui/v1/audit-logs?limit=2")
    assert [(row["action"], row["route"]) for row in rows[1]["data"]] == [
        ("auth.sign_in", "POST /ui/setup"),
        ("installation.set_up", "POST /ui/setup"),
    ]


@pytest.mark.parametrize("spoil", ["used", "replaced", "expired", "wrong", "empty", "after another user"])
async def test_a_link_that_does_not_count(served: Served, visitor: Visitor, spoil: str) -> None:
    setup = served.app.setup
    token = await setup.make_token()
    expected = 403
    if spoil == "used":
        assert (await visitor.ask("POST", "/ui/setup", {**FIRST, "token": token}))[0] == 201
    elif spoil == "replaced":
        await setup.make_token()
    elif spoil == "expired":
        served.clock.advance(LINK_TTL_MS)
    elif spoil == "after another user":
        await served.app.users.create(CreateUser("cli@example.com", PASSWORD, "default"))
        expected = 409
    else:
        token = {"wrong": token[:-1] + ("A" if token[-1] != "A" else "B"), "empty": ""}[spoil]
    status, _answer, headers = await visitor.ask(
        "POST", "/ui/setup", {"email": "second@example.com", "password": PASSWORD, "token": token}
    )
    assert status == expected
    assert "Set-Cookie" not in headers
    assert await served.app.users.list_all(None, 5) == [] or spoil in ("used", "after another user")


async def test_there_is_no_link_once_there_is_a_user(served: Served, visitor: Visitor) -> None:
    await served.app.users.create(CreateUser("cli@example.com", PASSWORD, "default"))
    assert not await state(visitor)
    with pytest.raises(AlloydError) as caught:
        await served.app.setup.make_token()
    assert caught.value.code is Code.CONFLICT


async def test_two_at_once_make_one_user(served: Served) -> None:
    users = served.app.users
    new = [CreateUser(f"{name}@example.com", PASSWORD, "default", first=True) for name in ("a", "b")]
    await users.create(new[0])
    with pytest.raises(AlloydError) as caught:
        await users.create(new[1])
    assert caught.value.code is Code.CONFLICT


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"email": "nobody"}, "email"), ({"password": "short"}, "password"), ({"display_name": "\x00"}, "display_name")],
)
async def test_a_mistake_names_its_field_and_spends_nothing(
    served: Served, visitor: Visitor, wrong: dict[str, Any], field: str
) -> None:
    token = await served.app.setup.make_token()
    for _ in range(ATTEMPTS_PER_ADDRESS + 1):
        status, answer, _headers = await visitor.ask("POST", "/ui/setup", {**FIRST, "token": token, **wrong})
        assert (status, answer["error"]["details"]["field"]) == (400, field)
    assert (await visitor.ask("POST", "/ui/setup", {**FIRST, "token": token}))[0] == 201


async def test_guessing_is_throttled(served: Served, visitor: Visitor) -> None:
    token = await served.app.setup.make_token()
    for _ in range(ATTEMPTS_PER_ADDRESS):
        assert (await visitor.ask("POST", "/ui/setup", {**FIRST, "token": "x"}))[0] == 403
    status, _answer, headers = await visitor.ask("POST", "/ui/setup", {**FIRST, "token": token})
    assert status == 429
    assert int(headers["Retry-After"]) > 0


async def test_the_operator_gets_a_link(served: Served) -> None:
    token = await served.app.setup.make_token()
    assert served.app.setup_link(token) == f"{served.url}/#/setup/{token}"


@pytest.mark.parametrize("public_url", ["https://page.example.com", "https://page.example.com/"])
async def test_the_link_leads_to_where_the_page_is_shown(tmp_path: Path, public_url: str) -> None:
    async with open_app(tmp_path, ui=UiConfig(public_url=public_url)) as served:
        assert served.app.setup_link("x") == "https://page.example.com/#/setup/x"
