"""For each route that changes something: one request that succeeds, with all that it needs made before."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from alloyd.domain.teammates.model import Channel, NewTeammate
from alloyd.events.model import Story
from alloyd.kit.signatures import signature_header
from tests.app import Served
from tests.connectors import OWN_CONNECTOR
from tests.people import PASSWORD, Person, sign_in

NOOP = {"key": "a", "operation": "workflow.noop"}
FAIL = {"key": "a", "operation": "transform", "config": {"values": {"x": "{{ trigger.missing }}"}}}
WAIT = {"key": "a", "operation": "workflow.wait_event", "config": {"event": "go"}}


@dataclass(frozen=True)
class Order:
    """A request. ``key`` is whose credential it carries, None for none; bytes in ``body`` are sent as they are, or
    with a ``form`` as its file."""

    path: str
    body: Any = None
    key: str | None = "acme"
    form: dict[str, str] | None = None
    headers: dict[str, str] = field(default_factory=dict)


Recipe = Callable[["Kitchen"], Awaitable[Order]]


class Kitchen:
    """Makes things in organization `acme`, each new."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self._made = 0

    def name(self, stem: str) -> str:
        self._made += 1
        return f"{stem}-{self._made}"

    async def make(self, path: str, body: dict[str, Any], status: int = 201) -> str:
        return str((await self.served.data("POST", path, body, status=status))["id"])

    async def org(self) -> str:
        await self.served.key("acme")
        return self.served.orgs["acme"]

    async def person(self, *places: str) -> Person:
        return await sign_in(self.served, self.name("person"), *places)

    async def file(self) -> str:
        name = f"{self.name('file')}.txt"
        data = aiohttp.FormData({"path": "/"})
        data.add_field("file", io.BytesIO(b"x"), filename=name, content_type="text/plain")
        headers = {"api-key": await self.served.key("acme")}
        url = f"{self.served.url}/api/private/storage/upload"
        async with self.served.session.post(url, data=data, headers=headers) as response:
            assert response.status == 200, await response.text()
        return f"/{name}"

    async def workflow(self) -> str:
        return await self.served.publish(NOOP, name=self.name("flow"))

    async def run(self) -> str:
        return await self.make("/workflow-runs", {"workflow_definition_id": await self.workflow()})

    async def started(self, node: dict[str, Any]) -> str:
        workflow = await self.served.publish(node, name=self.name("flow"))
        run = await self.make("/workflow-runs", {"workflow_definition_id": workflow})
        await self.served.data("POST", f"/workflow-runs/{run}/start", status=202)
        return run

    async def failed_run(self) -> str:
        run = await self.started(FAIL)
        assert await self.served.app.runs.wait(await self.served.principal("acme"), run, 30) is not None
        return run

    async def waiting_run(self) -> str:
        run = await self.started(WAIT)
        reader = self.served.app.hub.open({self.served.orgs["acme"]}, story=Story("run", run))
        while "workflow.run.waiting" not in await self.served.kinds(run):
            reader.take()
            await reader.wait(30)
        self.served.app.hub.release(reader)
        return run

    async def key(self) -> str:
        return await self.make("/api-keys", {"name": self.name("key")})

    async def team(self) -> str:
        return await self.make("/teams", {"slug": self.name("team"), "name": "Team"})

    async def team_with(self, person: Person) -> str:
        team = await self.team()
        await self.served.data("PUT", f"/teams/{team}/members/{person.id}", {"role": "member"})
        return team

    async def invitation(self, email: str) -> str:
        return await self.make("/invitations", {"email": email, "role": "viewer"})

    async def grant(self) -> str:
        principal = f"api_key:{await self.key()}"
        return await self.make("/grants", {"principal": principal, "action": "team.create", "effect": "deny"})

    async def schedule(self) -> str:
        body = {"workflow_id": await self.workflow(), "name": self.name("daily"), "cron": "0 3 * * *"}
        return await self.make("/schedules", body)

    async def end_user(self) -> str:
        return await self.make("/end-users", {"username": self.name("user")})

    async def integration(self) -> str:
        return await self.make("/integrations", {"slug": self.name("app"), "name": "App"})

    async def installation(self) -> str:
        body = {"end_user_id": await self.end_user(), "workflow_id": await self.workflow()}
        return await self.make("/installations", body)

    async def webhook(self) -> str:
        return await self.make("/webhooks", {"url": "https://hooks.example.com/in", "events": ["team.*"]})

    async def teammate(self) -> str:
        return await self.make("/teammates", {"name": self.name("mate"), "channel": "api"})

    async def user(self) -> str:
        return (await self.person()).id


def to(path: str, body: Any = None, key: str | None = "acme") -> Recipe:
    """A request that needs nothing made before."""

    async def recipe(_kitchen: Kitchen) -> Order:
        return Order(path, body, key)

    return recipe


def by_id(path: str, make: Callable[[Kitchen], Awaitable[str]], body: Any = None) -> Recipe:
    """A request to ``path`` with the id of what ``make`` made."""

    async def recipe(kitchen: Kitchen) -> Order:
        return Order(path.format(await make(kitchen)), body)

    return recipe


async def _upload(kitchen: Kitchen) -> Order:
    return Order("/api/private/storage/upload", b"content", form={"path": "/", "name": kitchen.name("up")})


async def _delete_file(kitchen: Kitchen) -> Order:
    return Order(f"/api/private/storage/file?path={await kitchen.file()}")


async def _rename(kitchen: Kitchen) -> Order:
    return Order("/api/private/storage/rename", {"path": await kitchen.file(), "new_name": kitchen.name("renamed")})


async def _move(kitchen: Kitchen) -> Order:
    folder = f"/{kitchen.name('folder')}"
    headers = {"api-key": await kitchen.served.key("acme")}
    url = f"{kitchen.served.url}/api/private/storage/folder"
    async with kitchen.served.session.post(url, json={"name": folder[1:]}, headers=headers) as response:
        assert response.status in (200, 201), await response.text()
    return Order("/api/private/storage/move", {"source_path": await kitchen.file(), "dest_path": folder})


async def _sign_in(kitchen: Kitchen) -> Order:
    person = await kitchen.person("acme member")
    return Order("/v1/auth/token", {"email": person.user.email, "password": PASSWORD}, None)


async def _sign_out(kitchen: Kitchen) -> Order:
    return Order("/v1/auth/revoke", {}, (await kitchen.person("acme member")).name)


async def _change_password(kitchen: Kitchen) -> Order:
    person = await kitchen.person("acme member")
    body = {"current_password": PASSWORD, "new_password": f"{PASSWORD} indeed"}
    return Order("/v1/me/password", body, person.name)


async def _found(kitchen: Kitchen) -> Order:
    person = await kitchen.person("acme member")
    return Order("/v1/organizations", {"slug": kitchen.name("org"), "name": "Org"}, person.name)


async def _accept(kitchen: Kitchen) -> Order:
    person = await kitchen.person()
    return Order(f"/v1/invitations/{await kitchen.invitation(person.user.email)}/accept", {}, person.name)


async def _install(kitchen: Kitchen) -> Order:
    body = {"end_user_id": await kitchen.end_user(), "workflow_id": await kitchen.workflow()}
    return Order("/v1/installations", body)


def _offer(*, inside: bool) -> Recipe:
    async def recipe(kitchen: Kitchen) -> Order:
        workflow = await kitchen.workflow()
        path = f"/v1/integrations/{await kitchen.integration()}/workflows"
        if not inside:
            return Order(path, {"workflow_id": workflow})
        await kitchen.served.data("POST", path.removeprefix("/v1"), {"workflow_id": workflow}, 201)
        return Order(f"{path}/{workflow}")

    return recipe


async def _invite(kitchen: Kitchen) -> Order:
    return Order("/v1/invitations", {"email": f"{kitchen.name('guest')}@example.com", "role": "viewer"})


async def _grant(kitchen: Kitchen) -> Order:
    principal = f"api_key:{await kitchen.key()}"
    return Order("/v1/grants", {"principal": principal, "action": "team.create", "effect": "deny"})


def _member(body: Any) -> Recipe:
    async def recipe(kitchen: Kitchen) -> Order:
        person = await kitchen.person("acme member")
        return Order(f"/v1/organizations/{await kitchen.org()}/members/{person.id}", body)

    return recipe


def _team_member(*, inside: bool, in_body: bool = False, body: Any = None) -> Recipe:
    async def recipe(kitchen: Kitchen) -> Order:
        person = await kitchen.person("acme member")
        team = await (kitchen.team_with(person) if inside else kitchen.team())
        path = f"/v1/teams/{team}/members"
        return Order(path, {"user_id": person.id}) if in_body else Order(f"{path}/{person.id}", body)

    return recipe


async def _create_run(kitchen: Kitchen) -> Order:
    return Order("/v1/workflow-runs", {"workflow_definition_id": await kitchen.workflow()})


async def _create_schedule(kitchen: Kitchen) -> Order:
    workflow = await kitchen.workflow()
    return Order("/v1/schedules", {"workflow_id": workflow, "name": kitchen.name("daily"), "cron": "0 3 * * *"})


async def _resume(kitchen: Kitchen) -> Order:
    schedule = await kitchen.schedule()
    await kitchen.served.data("POST", f"/schedules/{schedule}/pause", {})
    return Order(f"/v1/schedules/{schedule}/resume", {})


async def _drop_budget(kitchen: Kitchen) -> Order:
    path = f"/organizations/{await kitchen.org()}/budget"
    await kitchen.served.data("PUT", path, {"limit_usd": "5", "period": "month"})
    return Order(f"/v1{path}")


async def _issue(kitchen: Kitchen) -> Order:
    return Order("/operator/tokens", {"user": await kitchen.user()})


async def _backup(kitchen: Kitchen) -> Order:
    root = kitchen.served.app.data_dir.root
    return Order("/operator/backup", {"path": str(root / "backups" / kitchen.name("archive"))})


async def _archive(kitchen: Kitchen) -> Order:
    org = await kitchen.served.app.orgs.create(kitchen.name("ending"), "Ending")
    return Order(f"/operator/organizations/{org.id}/archive", {})


async def _hook(kitchen: Kitchen) -> Order:
    secret = "a hook's secret of its own"
    workflow = await kitchen.served.publish(
        NOOP, name=kitchen.name("hooked"), trigger={"type": "webhook", "secret": secret}
    )
    signature = signature_header((secret,), kitchen.served.clock.now_ms() // 1000, b"{}")
    return Order(f"/v1/hooks/{workflow}", {}, None, headers={"X-Alloyd-Signature": signature})


async def _redeliver(kitchen: Kitchen) -> Order:
    tested = await kitchen.served.data("POST", f"/webhooks/{await kitchen.webhook()}/test", {}, status=202)
    return Order(f"/v1/webhook-deliveries/{tested['id']}/redeliver", {})


async def _asset(kitchen: Kitchen) -> str:
    raw = await kitchen.served.key("acme")
    url, headers = f"{kitchen.served.url}/v1/assets?filename=a.txt", {"Authorization": f"Bearer {raw}"}
    async with kitchen.served.session.post(url, data=b"x", headers=headers) as response:
        return str(json.loads(await response.text())["data"]["id"])


async def _credential(kitchen: Kitchen) -> str:
    body = {"connector": "github", "kind": "bearer", "data": {"token": "secret-token"}, "label": kitchen.name("hub")}
    return await kitchen.make("/credentials", body)


async def _delete_client(kitchen: Kitchen) -> Order:
    back = "https://app.example/back"
    asked = {"connector": "github", "client_id": "c", "client_secret": "s", "redirect_uri": back}
    await kitchen.served.data("POST", "/credentials/oauth/start", asked)
    return Order("/v1/credentials/oauth/clients/github")


async def _connector(kitchen: Kitchen) -> str:
    name = f"own-{kitchen.name('app')}"
    return await kitchen.make("/connectors", {"definition": OWN_CONNECTOR | {"name": name}})


async def _teammate(kitchen: Kitchen) -> str:
    principal = await kitchen.served.principal()
    new = NewTeammate(kitchen.name("mate"), model="echo", channel=Channel.API)
    return (await kitchen.served.app.teammates.create(principal, new)).id


async def _complete(kitchen: Kitchen) -> Order:
    asked = {"model": f"teammate/{await _teammate(kitchen)}", "messages": [{"role": "user", "content": "hello"}]}
    return Order("/v1/chat/completions", asked)


async def _forget(kitchen: Kitchen) -> Order:
    path = f"/teammates/{await kitchen.teammate()}"
    said = await kitchen.served.data("POST", f"{path}/messages", {"message": "hello"})
    return Order(f"/v1{path}/conversations/{said['conversation_id']}")


RECIPES: dict[str, Recipe] = {
    "POST /v1/teammates": to("/v1/teammates", {"name": "Ann"}),
    "PATCH /v1/teammates/{id}": by_id("/v1/teammates/{}", Kitchen.teammate, {"role": "Other"}),
    "DELETE /v1/teammates/{id}": by_id("/v1/teammates/{}", Kitchen.teammate),
    "POST /v1/teammates/{id}/messages": by_id("/v1/teammates/{}/messages", Kitchen.teammate, {"message": "hello"}),
    "DELETE /v1/teammates/{id}/conversations/{conversation_id}": _forget,
    "POST /v1/chat/completions": _complete,
    "POST /api/teammates/{id}/messages": by_id("/api/teammates/{}/messages", _teammate, {"message": "hello"}),
    "POST /v1/connectors": to("/v1/connectors", {"definition": OWN_CONNECTOR}),
    "DELETE /v1/connectors/{id}": by_id("/v1/connectors/{}", _connector),
    "POST /v1/credentials": to(
        "/v1/credentials", {"connector": "github", "kind": "bearer", "data": {"token": "secret-token"}}
    ),
    "PATCH /v1/credentials/{id}": by_id("/v1/credentials/{}", _credential, {"label": "another"}),
    "DELETE /v1/credentials/{id}": by_id("/v1/credentials/{}", _credential),
    "POST /v1/credentials/oauth/start": to(
        "/v1/credentials/oauth/start",
        {"connector": "github", "client_id": "c", "client_secret": "s", "redirect_uri": "https://app.example/back"},
    ),
    "DELETE /v1/credentials/oauth/clients/{connector}": _delete_client,
    "POST /operator/sealing-key/rotate": to("/operator/sealing-key/rotate", {}),
    "POST /api/private/storage/upload": _upload,
    "DELETE /api/private/storage/file": _delete_file,
    "POST /api/private/storage/folder": to("/api/private/storage/folder", {"name": "made"}),
    "POST /api/private/storage/rename": _rename,
    "POST /api/private/storage/move": _move,
    "POST /api/private/trigger/{workflow_id}": by_id("/api/private/trigger/{}", Kitchen.workflow, {"secret": "s"}),
    "POST /v1/auth/token": _sign_in,
    "POST /v1/auth/revoke": _sign_out,
    "PATCH /v1/me/password": _change_password,
    "POST /v1/organizations": _found,
    "PATCH /v1/organizations/{id}": by_id("/v1/organizations/{}", Kitchen.org, {"name": "Acme Ltd"}),
    "PATCH /v1/organizations/{id}/members/{user_id}": _member({"role": "viewer"}),
    "DELETE /v1/organizations/{id}/members/{user_id}": _member(None),
    "POST /v1/teams": to("/v1/teams", {"slug": "made", "name": "Made"}),
    "PATCH /v1/teams/{id}": by_id("/v1/teams/{}", Kitchen.team, {"name": "Other"}),
    "DELETE /v1/teams/{id}": by_id("/v1/teams/{}", Kitchen.team),
    "POST /v1/teams/{id}/members": _team_member(inside=False, in_body=True),
    "PUT /v1/teams/{id}/members/{user_id}": _team_member(inside=False, body={"role": "viewer"}),
    "DELETE /v1/teams/{id}/members/{user_id}": _team_member(inside=True),
    "POST /v1/invitations": _invite,
    "POST /v1/invitations/{id}/accept": _accept,
    "POST /v1/invitations/{id}/revoke": by_id(
        "/v1/invitations/{}/revoke", lambda kitchen: kitchen.invitation("gone@example.com"), {}
    ),
    "POST /v1/grants": _grant,
    "DELETE /v1/grants/{id}": by_id("/v1/grants/{}", Kitchen.grant),
    "POST /v1/api-keys": to("/v1/api-keys", {"name": "made"}),
    "DELETE /v1/api-keys/{id}": by_id("/v1/api-keys/{}", Kitchen.key),
    "POST /v1/api-keys/{id}/disable": by_id("/v1/api-keys/{}/disable", Kitchen.key, {}),
    "POST /v1/api-keys/{id}/rotate": by_id("/v1/api-keys/{}/rotate", Kitchen.key, {}),
    "POST /v1/workflow-definitions": to("/v1/workflow-definitions", {"name": "made", "nodes": [NOOP]}),
    "DELETE /v1/workflow-definitions/{id}": by_id("/v1/workflow-definitions/{}", Kitchen.workflow),
    "POST /v1/workflow-runs": _create_run,
    "POST /v1/workflow-runs/{id}/start": by_id("/v1/workflow-runs/{}/start", Kitchen.run, {}),
    "POST /v1/workflow-runs/{id}/cancel": by_id("/v1/workflow-runs/{}/cancel", Kitchen.run, {}),
    "POST /v1/workflow-runs/{id}/retry": by_id("/v1/workflow-runs/{}/retry", Kitchen.failed_run, {"from": "start"}),
    "POST /v1/workflow-runs/{id}/signal": by_id("/v1/workflow-runs/{}/signal", Kitchen.waiting_run, {"name": "go"}),
    "POST /v1/workflow-definitions/{id}/releases": by_id(
        "/v1/workflow-definitions/{}/releases", Kitchen.workflow, {"release": "1.0.0"}
    ),
    "POST /v1/dead-letters/{id}/requeue": by_id("/v1/dead-letters/{}/requeue", Kitchen.failed_run, {}),
    "POST /v1/dead-letters/{id}/discard": by_id("/v1/dead-letters/{}/discard", Kitchen.failed_run, {}),
    "DELETE /v1/dead-letters/{id}": by_id("/v1/dead-letters/{}", Kitchen.failed_run),
    "POST /v1/jobs": to("/v1/jobs", {"modality": "text", "input": "hello"}),
    "PUT /v1/organizations/{id}/budget": by_id(
        "/v1/organizations/{}/budget", Kitchen.org, {"limit_usd": "5", "period": "month"}
    ),
    "DELETE /v1/organizations/{id}/budget": _drop_budget,
    "POST /v1/hooks/{workflow_id}": _hook,
    "POST /v1/webhook-deliveries/{id}/redeliver": _redeliver,
    "POST /v1/assets": to("/v1/assets?filename=b.txt", b"content"),
    "DELETE /v1/assets/{id}": by_id("/v1/assets/{}", _asset),
    "POST /v1/schedules": _create_schedule,
    "PATCH /v1/schedules/{id}": by_id("/v1/schedules/{}", Kitchen.schedule, {"cron": "0 4 * * *"}),
    "DELETE /v1/schedules/{id}": by_id("/v1/schedules/{}", Kitchen.schedule),
    "POST /v1/schedules/{id}/pause": by_id("/v1/schedules/{}/pause", Kitchen.schedule, {}),
    "POST /v1/schedules/{id}/resume": _resume,
    "POST /v1/schedules/{id}/run": by_id("/v1/schedules/{}/run", Kitchen.schedule, {}),
    "POST /v1/end-users": to("/v1/end-users", {"username": "made"}),
    "PATCH /v1/end-users/{id}": by_id("/v1/end-users/{}", Kitchen.end_user, {"full_name": "Other"}),
    "DELETE /v1/end-users/{id}": by_id("/v1/end-users/{}", Kitchen.end_user),
    "POST /v1/integrations": to("/v1/integrations", {"slug": "made", "name": "Made"}),
    "PATCH /v1/integrations/{id}": by_id("/v1/integrations/{}", Kitchen.integration, {"name": "Other"}),
    "DELETE /v1/integrations/{id}": by_id("/v1/integrations/{}", Kitchen.integration),
    "POST /v1/integrations/{id}/workflows": _offer(inside=False),
    "DELETE /v1/integrations/{id}/workflows/{workflow_id}": _offer(inside=True),
    "POST /v1/installations": _install,
    "PATCH /v1/installations/{id}": by_id("/v1/installations/{}", Kitchen.installation, {"active": False}),
    "DELETE /v1/installations/{id}": by_id("/v1/installations/{}", Kitchen.installation),
    "POST /v1/webhooks": to("/v1/webhooks", {"url": "https://hooks.example.com/x", "events": ["team.*"]}),
    "PATCH /v1/webhooks/{id}": by_id("/v1/webhooks/{}", Kitchen.webhook, {"events": ["job.*"]}),
    "DELETE /v1/webhooks/{id}": by_id("/v1/webhooks/{}", Kitchen.webhook),
    "POST /v1/webhooks/{id}/rotate-secret": by_id("/v1/webhooks/{}/rotate-secret", Kitchen.webhook, {}),
    "POST /v1/webhooks/{id}/test": by_id("/v1/webhooks/{}/test", Kitchen.webhook, {}),
    "POST /operator/organizations": to("/operator/organizations", {"slug": "made", "name": "Made"}),
    "PATCH /operator/organizations/{id}": by_id("/operator/organizations/{}", Kitchen.org, {"name": "Acme"}),
    "POST /operator/organizations/{id}/archive": _archive,
    "POST /operator/backup": _backup,
    "POST /operator/users": to(
        "/operator/users", {"email": "new@example.com", "password": PASSWORD, "organization": "acme", "role": "viewer"}
    ),
    "POST /operator/users/{id}/password": by_id("/operator/users/{}/password", Kitchen.user, {"password": PASSWORD}),
    "POST /operator/users/{id}/disable": by_id("/operator/users/{}/disable", Kitchen.user, {}),
    "POST /operator/tokens": _issue,
}

# What is not tried here, and where it is or why not.
ELSEWHERE: dict[str, str] = {
    "POST /ui/setup": "is possible once, and signs in as well: tests/wire/ui/test_setup.py",
    "GET /v1/credentials/oauth/callback": "needs another system's token endpoint: tests/wire/control/test_oauth.py",
    "POST /operator/objects/migrate": "needs a bucket to move to: tests/domain/objects/test_migration.py",
    "POST /v1/jobs/{id}/cancel": "echo's jobs have ended by then; it is the run's cancelling, which is tried",
}
