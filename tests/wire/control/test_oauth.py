"""Connecting an account: one state for one organization, used once, its time short; PKCE; the client remembered."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from alloyd.config.model import EgressConfig
from tests.app import Served, open_app
from tests.connectors import AppServer, open_app_server, same

BACK = "https://saas.example/oauth/back?tenant=7"
CLIENT = {"client_id": "our-client", "client_secret": "our-client-secret"}


@pytest.fixture
async def server() -> AsyncIterator[AppServer]:
    async with open_app_server() as opened:
        yield opened


@pytest.fixture
async def served(tmp_path: Path, server: AppServer) -> AsyncIterator[Served]:
    async with open_app(tmp_path, egress=EgressConfig(allow=("127.0.0.1/32",))) as opened:
        await opened.data("POST", "/connectors", {"definition": server.definition()}, 201)
        yield opened


async def start(served: Served, **more: Any) -> tuple[str, dict[str, str]]:
    """The state, and what the vendor's page is asked."""
    body = {"connector": "own-app", "redirect_uri": BACK, **more}
    started = await served.data("POST", "/credentials/oauth/start", body)
    parts = urlsplit(started["authorize_url"])
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://app.example/authorize"
    assert asked["state"] == started["state"]
    return started["state"], asked


async def come_back(served: Served, state: str, **more: str) -> tuple[int, Any]:
    params = {"state": state, "code": "the-code", **more}
    status, envelope, _headers = await served.ask("GET", "/credentials/oauth/callback", key=None, params=params)
    return status, envelope


async def test_a_whole_turn(served: Served, server: AppServer) -> None:
    state, asked = await start(served, **CLIENT, end_user_id="usr_1", label="Ann's")
    assert asked == {
        "response_type": "code",
        "client_id": "our-client",
        "redirect_uri": BACK,
        "state": state,
        "scope": "read write",
        "code_challenge": asked["code_challenge"],
        "code_challenge_method": "S256",
    }
    status, envelope = await come_back(served, state)
    assert status == 200
    grant = server.grants[0]
    challenge = base64.urlsafe_b64encode(hashlib.sha256(grant["code_verifier"].encode()).digest()).decode()
    assert challenge.rstrip("=") == asked["code_challenge"]
    assert (grant["code"], grant["redirect_uri"], grant["grant_type"]) == ("the-code", BACK, "authorization_code")
    assert base64.b64decode(grant["authorization"].removeprefix("Basic ")) == b"our-client:our-client-secret"
    shown = await served.data("GET", f"/credentials/{envelope['data']['id']}")
    assert (shown["end_user_id"], shown["label"], shown["kind"], shown["refreshable"]) == (
        "usr_1",
        "Ann's",
        "oauth2",
        True,
    )
    assert shown["expires_at"] == "2026-01-01T01:00:00.000Z"
    told = same([envelope, shown])
    for secret in ("our-client-secret", "access-token-1", "refresh-token-1", grant["code_verifier"]):
        assert secret.encode() not in told
    assert (await come_back(served, state))[0] == 401  # once
    rows = await served.data("GET", f"/organizations/{served.orgs['acme']}/audit-logs")
    assert "credential.connect" in [row["action"] for row in rows]


async def test_the_client_is_remembered_for_its_organization(served: Served, server: AppServer) -> None:
    refused = {"connector": "own-app", "redirect_uri": BACK}
    assert (await served.ask("POST", "/credentials/oauth/start", refused))[0] == 400
    await start(served, **CLIENT)
    _state, asked = await start(served, scopes=["read"])
    assert (asked["client_id"], asked["scope"]) == ("our-client", "read")
    await served.data("POST", "/connectors", {"definition": server.definition()}, 201, key="other")
    status, envelope, _headers = await served.ask("POST", "/credentials/oauth/start", refused, key="other")
    assert (status, envelope["error"]["details"]["field"]) == (400, "client_id")


async def test_states_end(served: Served, server: AppServer) -> None:
    assert (await served.ask("GET", "/credentials/oauth/callback?code=x", key=None))[0] == 400
    for state in ("", "nope", "x" * 5000):
        assert (await come_back(served, state))[0] == 401
    state, _asked = await start(served, **CLIENT)
    served.clock.advance(10 * 60 * 1000)
    assert (await come_back(served, state))[0] == 401
    state, _asked = await start(served)
    status, envelope, _headers = await served.ask(
        "GET", "/credentials/oauth/callback", key=None, params={"state": state, "error": "access_denied"}
    )
    assert (status, envelope["error"]["details"]["field"]) == (400, "code")
    assert (await come_back(served, state))[0] == 401
    assert server.grants == []


async def test_the_credential_is_of_who_started(served: Served) -> None:
    state, _asked = await start(served, **CLIENT)
    await served.key("other")
    status, envelope = await come_back(served, state)
    assert status == 200
    path = f"/credentials/{envelope['data']['id']}"
    assert (await served.ask("GET", path, key="other"))[0] == 404
    assert (await served.data("GET", path))["organization_id"] == served.orgs["acme"]


async def test_a_code_that_the_vendor_refuses(served: Served, server: AppServer) -> None:
    state, _asked = await start(served, **CLIENT)
    server.refuses = (400, {"error": "invalid_grant", "error_description": "our-client-secret is wrong"})
    status, envelope = await come_back(served, state)
    assert status == 502
    assert b"our-client-secret" not in same(envelope)
    server.refuses = (200, {"hello": "you"})
    state, _asked = await start(served)
    assert (await come_back(served, state))[1]["error"]["message"] == "the token endpoint gave no access token"
    assert await served.data("GET", "/credentials") == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"redirect_uri": "http://saas.example/"}, "redirect_uri"),
        ({"redirect_uri": "javascript:alert(1)"}, "redirect_uri"),
        ({"redirect_uri": "https://saas.example/#x"}, "redirect_uri"),
        ({"redirect_uri": "https://saas.example/" + "x" * 3000}, "redirect_uri"),
        ({"client_id": ""}, "client_id"),
        ({"client_id": None}, "client_id"),
        ({"client_secret": "a\nb"}, "client_secret"),
        ({"connector": "nope"}, "connector"),
        ({"connector": "stripe"}, "kind"),
        ({"connector": "shopify"}, "settings.shop"),
        ({"label": ""}, "label"),
    ],
)
async def test_bad_starts(served: Served, change: dict[str, Any], field: str) -> None:
    body = {"connector": "own-app", "redirect_uri": "http://localhost:8080/back", **CLIENT} | change
    status, envelope, _headers = await served.ask("POST", "/credentials/oauth/start", body)
    assert (status, envelope["error"]["details"]["field"]) == (400, field), envelope


async def test_connecting_shopify_leads_to_the_own_shop(served: Served) -> None:
    body = {"connector": "shopify", "redirect_uri": BACK, **CLIENT, "settings": {"shop": "acme"}}
    started = await served.data("POST", "/credentials/oauth/start", body)
    assert started["authorize_url"].startswith("https://acme.myshopify.com/admin/oauth/authorize?")
    assert "code_challenge" not in started["authorize_url"]


async def test_clients_are_listed_and_forgotten(served: Served, server: AppServer) -> None:
    assert await served.data("GET", "/credentials/oauth/clients") == []
    state, _asked = await start(served, **CLIENT)
    shopless = {"connector": "github", "client_id": "theirs", "redirect_uri": BACK}
    await served.data("POST", "/credentials/oauth/start", shopless, key="other")
    await served.data("POST", "/credentials/oauth/start", {**shopless, "client_id": "ours"})
    listed = await served.data("GET", "/credentials/oauth/clients")
    told = {"organization_id": served.orgs["acme"], "updated_at": "2026-01-01T00:00:00.000Z"}
    assert listed == [
        {"connector": "github", "client_id": "ours", "has_secret": False, **told},
        {"connector": "own-app", "client_id": "our-client", "has_secret": True, **told},
    ]
    assert b"our-client-secret" not in same(listed)
    served.clock.advance(60_000)
    await served.app.key_rotation.rotate()
    assert await served.data("GET", "/credentials/oauth/clients") == listed
    # What goes on with it: an account that is being connected has a copy, but a new key ends it; so once more.
    assert (await come_back(served, state))[0] == 401
    state, _asked = await start(served)
    assert await served.data("DELETE", "/credentials/oauth/clients/own-app") == {"connector": "own-app"}
    assert (await come_back(served, state))[0] == 200
    status, envelope, _headers = await served.ask("DELETE", "/credentials/oauth/clients/own-app")
    assert (status, envelope["error"]["message"]) == (404, "OAuth client not found")
    status, envelope, _headers = await served.ask(
        "POST", "/credentials/oauth/start", {"connector": "own-app", "redirect_uri": BACK}
    )
    assert (status, envelope["error"]["details"]["field"]) == (400, "client_id")
    assert [one["client_id"] for one in await served.data("GET", "/credentials/oauth/clients")] == ["ours"]
    assert [one["client_id"] for one in await served.data("GET", "/credentials/oauth/clients", key="other")] == [
        "theirs"
    ]
    assert "oauth_client.deleted" in await served.kinds()


async def test_who_may_not_see_credentials_sees_no_clients(served: Served) -> None:
    await start(served, **CLIENT)
    for method, path in (("GET", ""), ("DELETE", "/own-app")):
        assert (await served.ask(method, f"/credentials/oauth/clients{path}", key="acme member"))[0] == 403
    query = f"?organization_id={served.orgs['acme']}"
    await served.key("other")
    assert (await served.ask("GET", f"/credentials/oauth/clients{query}", key="other"))[0] == 404
    assert (await served.ask("DELETE", f"/credentials/oauth/clients/own-app{query}", key="other"))[0] == 404
    assert len(await served.data("GET", "/credentials/oauth/clients")) == 1


async def test_a_connector_goes_once_its_client_does(served: Served) -> None:
    await start(served, **CLIENT)
    assert (await served.ask("DELETE", "/connectors/own-app"))[0] == 409
    await served.data("DELETE", "/credentials/oauth/clients/own-app")
    await served.data("DELETE", "/connectors/own-app")
