"""What an end user's runs of a workflow tell, by the embedded contract: logs, errors, and the purge of all of it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from alloyd.domain.embedded.model import PAGE_LIMIT, PAGE_LIMIT_MAX, PAGE_MAX
from alloyd.domain.embedded.purge import EndUserPurge
from alloyd.domain.embedded.service import RunLogs
from alloyd.domain.endusers.service import EndUserService
from alloyd.domain.workflows.service import WorkflowService
from alloyd.wire.embedded import shapes
from alloyd.wire.embedded.codec import in_its_words
from alloyd.wire.embedded.credentials import user_of
from alloyd.wire.embedded.dialect import Dialect, success
from alloyd.wire.route import Call, Route

Page = Annotated[int, msgspec.Meta(ge=0, le=PAGE_MAX, description="From 0; an empty page is the end.")]
Limit = Annotated[int, msgspec.Meta(ge=1, le=PAGE_LIMIT_MAX)]


class LogQueryTold(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whose runs, and which page of them."""

    user_id: str
    page: Page = 0
    limit: Limit = PAGE_LIMIT
    order: Literal["asc", "desc"] = "desc"


class LogQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """:class:`LogQueryTold` as it is read."""

    user_id: str | None = None
    page: Page = 0
    limit: Limit = PAGE_LIMIT
    order: Literal["asc", "desc"] = "desc"


class RunLogRoutes:
    """The handlers."""

    def __init__(
        self,
        logs: RunLogs,
        purge: EndUserPurge,
        end_users: EndUserService,
        workflows: WorkflowService,
        dialect: Dialect,
    ) -> None:
        self._logs = logs
        self._purge = purge
        self._end_users = end_users
        self._workflows = workflows
        self._dialect = dialect

    async def list_logs(self, call: Call) -> object:
        query: LogQuery = call.query
        user_id, workflow_id = await self._read_names(call)
        found = await self._logs.list_logs(call.who, user_id, workflow_id, query.page, query.limit, query.order)
        return self._dialect.logs.make(found)

    async def list_errors(self, call: Call) -> object:
        query: LogQuery = call.query
        user_id, workflow_id = await self._read_names(call)
        found = await self._logs.list_errors(call.who, user_id, workflow_id, query.page, query.limit, query.order)
        return self._dialect.errors.make(found)

    async def delete_logs(self, call: Call) -> shapes.Success:
        user = await self._end_users.get(call.who, call.param("userId"))
        await self._purge.purge(call.who, user.id)
        return success("User logs purged successfully")

    async def _read_names(self, call: Call) -> tuple[str, str]:
        """The ids of the user and the workflow that a request names. Raises ``not_found``."""
        user = await self._end_users.get(call.who, user_of(call, call.query.user_id))
        workflow = await self._workflows.get_by_name(call.who, call.param("workflowId"))
        return user.id, workflow.workflow.id


def routes(
    logs: RunLogs, purge: EndUserPurge, end_users: EndUserService, workflows: WorkflowService, dialect: Dialect
) -> list[Route]:
    """The routes of logs, errors and the purge (embedded contract: Operations)."""
    handlers = RunLogRoutes(logs, purge, end_users, workflows, dialect)
    return [
        Route(
            "GET",
            "/workflows/{workflowId}/logs",
            in_its_words(handlers.list_logs),
            "run.read",
            "List an end user's runs of a workflow, newest first",
            query=LogQuery,
            query_told=LogQueryTold,
            output=dialect.logs.output,
        ),
        Route(
            "GET",
            "/workflows/{workflowId}/errors",
            in_its_words(handlers.list_errors),
            "run.read",
            "List why an end user's runs of a workflow failed, newest first",
            query=LogQuery,
            query_told=LogQueryTold,
            output=dialect.errors.output,
        ),
        Route(
            "DELETE",
            "/users/{userId}/logs",
            in_its_words(handlers.delete_logs),
            "end_user.write",
            "Take away all that an end user's runs left, for good",
            output=shapes.Success,
        ),
    ]
