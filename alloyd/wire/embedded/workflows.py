"""``/workflows`` of the embedded contract: what an end user has installed, and the life of that."""

from __future__ import annotations

from alloyd.domain.integrations.installations import InstallationService
from alloyd.principal import Kind
from alloyd.wire.embedded import shapes
from alloyd.wire.embedded.codec import in_its_words
from alloyd.wire.embedded.credentials import user_of
from alloyd.wire.embedded.dialect import Dialect, success
from alloyd.wire.embedded.integrations import UserQuery, UserQueryTold
from alloyd.wire.idempotency import read_once
from alloyd.wire.route import Call, Route


class WorkflowRoutes:
    """The handlers."""

    def __init__(self, installations: InstallationService, dialect: Dialect) -> None:
        self._installations = installations
        self._dialect = dialect

    async def list_choices(self, call: Call) -> object:
        found = await self._installations.list_choices(call.who, user_of(call, call.query.user_id))
        return self._dialect.workflows.make(found)

    async def activate(self, call: Call) -> object:
        body: shapes.WorkflowAction = call.body
        from_browser = call.who.kind is Kind.END_USER
        found = await self._installations.activate(
            call.who, user_of(call, body.user_id), body.workflow, offered_only=from_browser
        )
        return self._dialect.activated.make(found)

    async def deactivate(self, call: Call) -> object:
        body: shapes.WorkflowAction = call.body
        found = await self._installations.deactivate(call.who, user_of(call, body.user_id), body.workflow)
        return self._dialect.deactivated.make(found)

    async def upgrade(self, call: Call) -> object:
        body: shapes.Upgrade = call.body or shapes.Upgrade()
        user = user_of(call, body.user_id or call.query.user_id)
        found = await self._installations.upgrade(call.who, user, call.param("workflowId"), body.version)
        return self._dialect.upgraded.make(found)

    async def install(self, call: Call) -> shapes.Success:
        body: shapes.Install = call.body or shapes.Install()
        user = user_of(call, body.user_id or call.query.user_id)
        await self._installations.install(
            call.who, user, call.param("workflowId"), configuration=body.configuration, once=read_once(call)
        )
        return success("Workflow installed")

    async def uninstall(self, call: Call) -> shapes.Success:
        user = user_of(call, call.query.user_id)
        await self._installations.uninstall(call.who, user, call.param("workflowId"))
        return success("Workflow uninstalled")


def routes(installations: InstallationService, dialect: Dialect) -> list[Route]:
    """The routes below ``/workflows``, but for what their runs tell (embedded contract: Operations)."""
    handlers = WorkflowRoutes(installations, dialect)
    return [
        Route(
            "GET",
            "/workflows",
            in_its_words(handlers.list_choices),
            "installation.read",
            "List the workflows that an end user has installed or may install",
            query=UserQuery,
            query_told=UserQueryTold,
            output=dialect.workflows.output,
            statuses=(404,),
        ),
        Route(
            "PUT",
            "/workflows/activate",
            in_its_words(handlers.activate),
            "installation.write",
            "Let events start a workflow for an end user; installs it if need be",
            body=shapes.WorkflowAction,
            body_told=shapes.WorkflowActionTold,
            output=dialect.activated.output,
            statuses=(404,),
        ),
        Route(
            "PUT",
            "/workflows/deactivate",
            in_its_words(handlers.deactivate),
            "installation.write",
            "Let nothing start a workflow for an end user until it is active again",
            body=shapes.WorkflowAction,
            body_told=shapes.WorkflowActionTold,
            output=dialect.deactivated.output,
            statuses=(404,),
        ),
        *_by_id(handlers, dialect),
    ]


def _by_id(handlers: WorkflowRoutes, dialect: Dialect) -> list[Route]:
    return [
        Route(
            "PUT",
            "/workflows/{workflowId}/upgrade",
            in_its_words(handlers.upgrade),
            "installation.write",
            "Move an end user's workflow to a newer release",
            query=UserQuery,
            body=shapes.Upgrade | None,
            body_told=shapes.UpgradeTold,
            output=dialect.upgraded.output,
        ),
        Route(
            "POST",
            "/workflows/{workflowId}/install",
            in_its_words(handlers.install),
            "installation.write",
            "Install a workflow for an end user at its newest release",
            query=UserQuery,
            body=shapes.Install | None,
            body_told=shapes.InstallTold,
            output=shapes.Success,
            statuses=(409,),
        ),
        Route(
            "DELETE",
            "/workflows/{workflowId}",
            in_its_words(handlers.uninstall),
            "installation.write",
            "Remove a workflow from an end user",
            query=UserQuery,
            query_told=UserQueryTold,
            output=shapes.Success,
        ),
    ]
