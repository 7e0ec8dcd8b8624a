"""``/v1/installations``: end users' copies of workflows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from alloyd.domain.endusers.service import EndUserService
from alloyd.domain.integrations.installations import InstallationService
from alloyd.domain.integrations.model import Installation, InstallationFilter
from alloyd.domain.workflows.releases import LABEL_CHARS_MAX
from alloyd.kit.clock import rfc3339
from alloyd.principal import Principal
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.fields import IdempotencyKey, told
from alloyd.wire.idempotency import read_once
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import Call, Route

Release = Annotated[
    str,
    told(
        pattern=r"^(?:latest|[0-9]+(?:\.[0-9]+)*)$",
        maxLength=LABEL_CHARS_MAX,
        description="A numbered release of the workflow, such as 2.0.0, or latest.",
    ),
]


class InstallBody(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of a workflow for an end user; without `version` at the newest release.

    `end_user_id` may also be a username, `workflow_id` a name.
    """

    end_user_id: str
    workflow_id: str
    version: Release | None = None
    configuration: dict[str, Any] = {}
    active: bool = True
    organization_id: str | None = None
    idempotency_key: IdempotencyKey | None = None


class UpdateInstallationBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be changed, all of it or nothing; what is not named stays."""

    active: bool | None = None
    version: Release | None = None
    configuration: dict[str, Any] | None = None


class InstallationQuery(PageQuery, frozen=True, kw_only=True):
    """The filters of the list; `integration_id`: of the workflows that are in it now."""

    end_user_id: str | None = None
    workflow_id: str | None = None
    integration_id: str | None = None
    active: bool | None = None
    organization_id: str | None = None


class InstallationJson(msgspec.Struct, frozen=True, kw_only=True):
    """An end user's copy of a workflow: `release` names its `version`, which `event` starts, if any does.

    `newest_release` is what an upgrade would lead to; null for a workflow that has none.
    """

    id: str
    organization_id: str
    end_user_id: str
    username: str | None
    workflow_id: str
    release: str
    version: int
    newest_release: str | None
    event: str | None
    configuration: dict[str, Any]
    active: bool
    created_at: str
    updated_at: str


class Installations:
    """The handlers of `/v1/installations`."""

    def __init__(self, installations: InstallationService, users: EndUserService, limits: PageLimits) -> None:
        self._installations = installations
        self._users = users
        self._pager = Pager("installations", limits, str)

    async def post_installation(self, call: Call) -> InstallationJson:
        """`POST /v1/installations`."""
        body: InstallBody = call.body
        organization_of(call, body.organization_id)
        made = await self._installations.install(
            call.who,
            body.end_user_id,
            body.workflow_id,
            version=body.version,
            configuration=body.configuration,
            active=body.active,
            once=read_once(call, body.idempotency_key),
        )
        return (await self._show(call.who, [made]))[0]

    async def list_installations(self, call: Call) -> Sequence[InstallationJson]:
        """`GET /v1/installations`, newest first."""
        query: InstallationQuery = call.query
        organization_of(call, query.organization_id)
        page = self._pager.read(query)
        wanted = InstallationFilter(query.end_user_id, query.workflow_id, query.integration_id, query.active)
        after = page.after[0] if page.after else None
        found = await self._installations.list_page(call.who, wanted, after, page.fetch)
        return await self._show(call.who, self._pager.cut(call, page, found, lambda one: (one.id,)))

    async def get_installation(self, call: Call) -> InstallationJson:
        """`GET /v1/installations/{id}`."""
        return (await self._show(call.who, [await self._installations.get(call.who, call.param("id"))]))[0]

    async def patch_installation(self, call: Call) -> InstallationJson:
        """`PATCH /v1/installations/{id}`."""
        body: UpdateInstallationBody = call.body
        changed = await self._installations.update(
            call.who,
            call.param("id"),
            active=body.active,
            version=body.version,
            configuration=body.configuration,
        )
        return (await self._show(call.who, [changed]))[0]

    async def delete_installation(self, call: Call) -> InstallationJson:
        """`DELETE /v1/installations/{id}`; the answer is what it was."""
        return (await self._show(call.who, [await self._installations.remove(call.who, call.param("id"))]))[0]

    async def _show(self, who: Principal, found: Sequence[Installation]) -> list[InstallationJson]:
        names = await self._users.find_usernames(who, [one.end_user_id for one in found])
        newest = await self._installations.find_newest(who, sorted({one.workflow_id for one in found}))
        return [_json(one, names.get(one.end_user_id), newest.get(one.workflow_id)) for one in found]


def _json(one: Installation, username: str | None, newest: str | None) -> InstallationJson:
    return InstallationJson(
        id=one.id,
        organization_id=one.org_id,
        end_user_id=one.end_user_id,
        username=username,
        workflow_id=one.workflow_id,
        release=one.release,
        version=one.version,
        newest_release=newest,
        event=one.event,
        configuration=dict(one.configuration),
        active=one.active,
        created_at=rfc3339(one.created_at),
        updated_at=rfc3339(one.updated_at),
    )


def routes(installations: InstallationService, users: EndUserService, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    api = Installations(installations, users, limits)
    one, owner = "/installations/{id}", installations.find_organization
    return [
        Route(
            "POST",
            "/installations",
            api.post_installation,
            "installation.write",
            "Install a workflow for an end user",
            body=InstallBody,
            output=InstallationJson,
            status=201,
            statuses=(404, 409, 413),
        ),
        Route(
            "GET",
            "/installations",
            api.list_installations,
            "installation.read",
            "List installations, newest first",
            query=InstallationQuery,
            output=list[InstallationJson],
            statuses=(404,),
        ),
        Route(
            "GET",
            one,
            api.get_installation,
            "installation.read",
            "Show an installation",
            output=InstallationJson,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "PATCH",
            one,
            api.patch_installation,
            "installation.write",
            "Activate or deactivate, upgrade or configure an installation",
            body=UpdateInstallationBody,
            output=InstallationJson,
            statuses=(404, 409, 413),
            owner=owner,
        ),
        Route(
            "DELETE",
            one,
            api.delete_installation,
            "installation.write",
            "Uninstall",
            output=InstallationJson,
            statuses=(404,),
            owner=owner,
        ),
    ]
