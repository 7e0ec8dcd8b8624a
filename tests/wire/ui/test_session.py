"""The page's session: its cookie opens the page's doors and nothing else, and only the page itself can use it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from alloyd.config.model import UiConfig
from alloyd.domain.sessions.model import Use
from tests.app import Served, open_app
from tests.people import PASSWORD, sign_in
from tests.wire.ui.conftest import Visitor, visit
from tests.wire.ui.recipes import FROM_PAGE

ANN = "ann@example.com"
DAY_MS = 86_400_000


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(served: Served, visitor: Visitor) -> None:
    await sign_in(served, "ann", "acme admin")
    _status, _answer, headers = await visitor.ask("POST", "/ui/session", {"email": ANN, "password": PASSWORD})
    attributes = {part.strip() for part in headers["Set-Cookie"].split(";")[1:]}
    assert attributes == {"Path=/ui", "Max-Age=43200", "HttpOnly", "SameSite=Strict"}


@pytest.mark.parametrize(
    ("public_url", "origin", "secure"),
    [
        ("https://page.example.com", "https://page.example.com", True),
        ("https://page.example.com/", "https://page.example.com", True),
        ("http://page.example.com", "http://page.example.com", False),
    ],
)
async def test_behind_a_proxy_the_configured_origin_counts(
    tmp_path: Path, public_url: str, origin: str, secure: bool
) -> None:
    async with open_app(tmp_path, ui=UiConfig(public_url=public_url)) as served, visit(served) as visitor:
        await sign_in(served, "ann", "acme admin")
        headers = {"X-Alloyd-Page": "1", "Origin": origin}
        body = {"email": ANN, "password": PASSWORD}
        status, _answer, got = await visitor.ask("POST", "/ui/session", body, headers)
        assert (status, "Secure" in got["Set-Cookie"]) == (201, secure)
        headers["Origin"] = "https://elsewhere.example.com"
        assert (await visitor.ask("POST", "/ui/session", body, headers))[0] == 403


async def test_a_cookie_seen_over_https_stays_there(served: Served, visitor: Visitor) -> None:
    """Also behind a proxy that nobody configured: the browser says where it is."""
    await sign_in(served, "ann", "acme admin")
    headers = {**FROM_PAGE, "Origin": "https://page.example.com"}
    _status, _answer, got = await visitor.ask("POST", "/ui/session", {"email": ANN, "password": PASSWORD}, headers)
    assert got["Set-Cookie"].endswith("; Secure")


async def test_of_two_sessions_at_once_neither_counts(served: Served, visitor: Visitor) -> None:
    await sign_in(served, "ann", "acme admin")
    await sign_in(served, "eve", "other admin")
    own, strangers = [
        (await served.app.sessions.sign_in(f"{name}@example.com", PASSWORD, None, "local", Use.PAGE)).token
        for name in ("ann", "eve")
    ]
    for cookie, expected in (
        (f"other=1; alloyd_session={own}", 200),
        (f"alloyd_session={strangers}; alloyd_session={own}", 401),
        (f"alloyd_session={own};alloyd_session={strangers}", 401),
        (f"alloyd_session={own}; alloyd_session=", 401),
    ):
        assert (await visitor.ask("GET", "/ui/session", None, {"Cookie": cookie}))[0] == expected, cookie


async def test_session_tells_who_uses_the_page(served: Served, visitor: Visitor) -> None:
    assert (await visitor.ask("GET", "/ui/session"))[0] == 401
    person = await sign_in(served, "ann", "acme viewer", "other admin")
    told = await visitor.sign_in(ANN, PASSWORD)
    assert (told["user_id"], told["email"], told["role"]) == (person.id, ANN, "viewer")
    assert {each["slug"]: each["role"] for each in told["organizations"]} == {"acme": "viewer", "other": "admin"}
    assert "run.read" in told["actions"]
    assert "api_key.create" not in told["actions"]
    assert (await visitor.ask("GET", "/ui/session"))[1]["data"] == told


async def test_wrong_password_says_what_the_api_says(served: Served, visitor: Visitor) -> None:
    await sign_in(served, "ann", "acme viewer")
    for body in ({"email": ANN, "password": "wrong"}, {"email": "x@example.com", "password": PASSWORD}):
        status, answer, headers = await visitor.ask("POST", "/ui/session", body)
        assert (status, answer["error"]["message"]) == (401, "email or password: not right")
        assert "Set-Cookie" not in headers
    status, answer, _headers = await visitor.ask(
        "POST", "/ui/session", {"email": ANN, "password": PASSWORD, "organization": "nowhere"}
    )
    assert status == 404


async def test_another_organization_and_back_in_one_session(served: Served, visitor: Visitor) -> None:
    await sign_in(served, "ann", "acme viewer", "other admin")
    await visitor.sign_in(ANN, PASSWORD)
    assert (await visitor.ask("GET", "/ui/v1/me"))[1]["data"]["organization_id"] == served.orgs["acme"]
    status, answer, _headers = await visitor.ask("PATCH", "/ui/session", {"organization_id": served.orgs["other"]})
    assert (status, answer["data"]["role"]) == (200, "admin")
    assert (await visitor.ask("GET", "/ui/v1/me"))[1]["data"]["organization_id"] == served.orgs["other"]
    await served.key("third")
    assert (await visitor.ask("PATCH", "/ui/session", {"organization_id": served.orgs["third"]}))[0] == 404


async def test_signing_out_ends_every_token_of_the_session(served: Served, visitor: Visitor) -> None:
    await sign_in(served, "ann", "acme admin")
    first = (await served.app.sessions.sign_in(ANN, PASSWORD, None, "local", Use.PAGE)).token
    cookie = {**FROM_PAGE, "Cookie": f"alloyd_session={first}"}
    served.clock.advance(1000)
    _status, _answer, headers = await visitor.ask("PATCH", "/ui/session", {}, cookie)
    later = re.match("alloyd_session=([^;]+)", headers["Set-Cookie"])
    assert later is not None
    assert later[1] != first
    other = (await served.app.sessions.sign_in(ANN, PASSWORD, None, "local", Use.PAGE)).token
    _status, _answer, headers = await visitor.ask("DELETE", "/ui/session", None, cookie)
    assert headers["Set-Cookie"].startswith("alloyd_session=; Path=/ui; Max-Age=0;")
    for token, expected in ((first, 401), (later[1], 401), (other, 200)):
        got = await visitor.ask("GET", "/ui/session", None, {"Cookie": f"alloyd_session={token}"})
        assert got[0] == expected
    served.clock.advance(12 * 3_600_000 - 1500)  # the first one's own end is past, the renewed one's is not
    assert (await visitor.ask("GET", "/ui/session", None, {"Cookie": f"alloyd_session={later[1]}"}))[0] == 401


async def test_signing_out_everywhere_ends_tokens_too(served: Served, visitor: Visitor) -> None:
    await sign_in(served, "ann", "acme admin")
    await visitor.sign_in(ANN, PASSWORD)
    assert (await visitor.ask("DELETE", "/ui/session?everywhere=true"))[0] == 200
    assert (await served.ask("GET", "/me", key="ann"))[0] == 401


async def test_session_lives_while_it_is_used_and_not_for_ever(tmp_path: Path) -> None:
    config = UiConfig(session_ttl_s=3600, session_max_days=1)
    async with open_app(tmp_path, ui=config) as served, visit(served) as visitor:
        await sign_in(served, "ann", "acme admin")
        token = (await served.app.sessions.sign_in(ANN, PASSWORD, None, "local", Use.PAGE)).token
        renewals = 0
        while True:
            served.clock.advance(1800_000)
            cookie = {**FROM_PAGE, "Cookie": f"alloyd_session={token}"}
            status, _answer, headers = await visitor.ask("PATCH", "/ui/session", {}, cookie)
            if status == 401:
                break
            token = headers["Set-Cookie"].partition("=")[2].partition(";")[0]
            renewals += 1
        assert renewals == 47


# -- one credential, one kind of door ------------------------------------------------------------------------


async def test_the_cookie_opens_nothing_but_the_pages_doors(served: Served, visitor: Visitor) -> None:
    await sign_in(served, "ann", "acme owner")
    token = (await served.app.sessions.sign_in(ANN, PASSWORD, None, "local", Use.PAGE)).token
    cookie = {**FROM_PAGE, "Cookie": f"alloyd_session={token}; token={token}"}
    for headers in (cookie, {"Authorization": f"Bearer {token}"}, {"api-key": token}):
        for path in ("/v1/me", "/api/private/storage", "/api/v1/objects/usage", "/2025-09/users"):
            assert (await visitor.ask("GET", path, None, headers))[0] in (401, 404), (path, headers)
    assert (await visitor.ask("GET", f"/api/v1/objects/usage?token={token}"))[0] in (401, 404)
    assert (await visitor.ask("GET", f"/v1/events/stream?ticket={token}"))[0] == 401


async def test_no_other_credential_opens_the_pages_doors(served: Served, visitor: Visitor) -> None:
    await sign_in(served, "ann", "acme owner")
    key, token = await served.key("acme"), await served.key("ann")
    for headers in (
        {"Authorization": f"Bearer {key}"},
        {"Authorization": f"Bearer {token}"},
        {"api-key": key},
        {"Cookie": f"alloyd_session={token}"},
        {"Cookie": f"alloyd_session={key}"},
        {"Cookie": f"token={token}"},
    ):
        for path in ("/ui/session", "/ui/v1/me", "/ui/private/storage"):
            assert (await visitor.ask("GET", path, None, {**FROM_PAGE, **headers}))[0] == 401, (path, headers)


async def test_what_has_callers_of_its_own_has_no_page_door(served: Served, visitor: Visitor) -> None:
    await sign_in(served, "ann", "acme owner")
    await visitor.sign_in(ANN, PASSWORD)
    for path in ("/ui/v1/auth/token", "/ui/v1/auth/revoke", "/ui/v1/auth/stream-ticket", "/ui/v1/hooks/x"):
        assert (await visitor.ask("POST", path, {}))[0] == 404


# -- requests that other sites make ----------------------------------------------------------------------------

SAME = {"X-Alloyd-Page": "1"}
FORGED: list[tuple[str, str, Mapping[str, str]]] = [
    ("nothing at all", "POST", {}),
    ("no header of the page", "POST", {"Sec-Fetch-Site": "same-origin"}),
    ("another value of it", "POST", {"Sec-Fetch-Site": "same-origin", "X-Alloyd-Page": "0"}),
    ("the header alone", "POST", SAME),
    ("cross-site", "POST", {**SAME, "Sec-Fetch-Site": "cross-site"}),
    ("same-site", "POST", {**SAME, "Sec-Fetch-Site": "same-site"}),
    ("typed by hand", "POST", {**SAME, "Sec-Fetch-Site": "none"}),
    ("another origin", "POST", {**SAME, "Origin": "https://evil.example.com"}),
    ("null origin", "POST", {**SAME, "Origin": "null"}),
    ("cross-site that claims the origin", "POST", {**SAME, "Sec-Fetch-Site": "cross-site", "Origin": "own"}),
    ("another origin, delete", "DELETE", {**SAME, "Origin": "https://evil.example.com"}),
    ("another origin, patch", "PATCH", {**SAME, "Origin": "https://evil.example.com"}),
    ("cross-site reading", "GET", {"Sec-Fetch-Site": "cross-site"}),
    ("same-site reading", "GET", {"Sec-Fetch-Site": "same-site"}),
]


@pytest.mark.parametrize(("method", "headers"), [pytest.param(*more, id=name) for name, *more in FORGED])
async def test_requests_of_other_sites_are_refused(
    served: Served, visitor: Visitor, method: str, headers: dict[str, str]
) -> None:
    await sign_in(served, "ann", "acme owner")
    await visitor.sign_in(ANN, PASSWORD)
    if headers.get("Origin") == "own":
        headers = {**headers, "Origin": served.url}
    paths = {
        "GET": ("/ui/session", "/ui/v1/api-keys", "/ui/private/storage", "/ui/v1/events/stream"),
        "POST": ("/ui/v1/api-keys", "/ui/private/storage/folder", "/ui/session", "/ui/setup"),
        "DELETE": ("/ui/session", "/ui/v1/api-keys/x", "/ui/private/storage/file"),
        "PATCH": ("/ui/session", "/ui/v1/teams/x"),
    }[method]
    told = await served.kinds()
    signing_in = {"email": ANN, "password": PASSWORD}
    bodies = {"/ui/session": signing_in, "/ui/setup": {**signing_in, "token": "x"}}
    for path in paths:
        body = None if method in ("GET", "DELETE") else bodies.get(path, {"name": "x"})
        status, answer, _headers = await visitor.ask(method, path, body, headers)
        assert status == 403, (path, answer)
    assert await served.kinds() == told


async def test_the_page_itself_is_let_in_with_and_without_fetch_metadata(served: Served, visitor: Visitor) -> None:
    await sign_in(served, "ann", "acme owner")
    await visitor.sign_in(ANN, PASSWORD)
    for headers in (FROM_PAGE, {**SAME, "Origin": served.url}):
        assert (await visitor.ask("POST", "/ui/v1/api-keys", {"name": "n"}, headers))[0] == 201
    for headers in ({}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}):
        assert (await visitor.ask("GET", "/ui/v1/api-keys", None, headers))[0] == 200


async def test_what_the_page_does_is_on_record_as_its_users(served: Served, visitor: Visitor) -> None:
    person = await sign_in(served, "ann", "acme owner")
    await visitor.sign_in(ANN, PASSWORD)
    await visitor.ask("POST", "/ui/v1/api-keys", {"name": "n"})
    row = (await served.data("GET", f"/organizations/{served.orgs['acme']}/audit-logs?action=api_key.create"))[0]
    assert (row["actor"], row["route"]) == ({"id": person.id, "kind": "user"}, "POST /ui/v1/api-keys")
