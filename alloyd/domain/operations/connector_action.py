"""``connector.action``: asks an application for one of its actions, as the account that a credential is for."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UnsetType

from alloyd.domain.connectors.model import Connector
from alloyd.domain.connectors.paging import items_of, next_of, with_cursor
from alloyd.domain.connectors.request import Prepared, prepare, prepare_link, require_action
from alloyd.domain.credentials.model import Presented, RefreshError
from alloyd.domain.operations.connector_answer import Answer, expired, read_answer, refuse_failed
from alloyd.domain.operations.connector_config import ConnectorConfig, check, require_params
from alloyd.domain.operations.faults import service_faults
from alloyd.domain.operations.model import Done, Operation, OperationError, StepContext
from alloyd.egress import EgressError, OutboundRequest

_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


async def execute(ctx: StepContext, config: ConnectorConfig) -> Done:
    """``{status, data, next?}``: with ``next`` the list goes on, and it is the ``cursor`` of the next page.

    With ``page_all`` ``data`` is the list of all items, and ``next`` is there when ``pages_max`` was reached. To
    repeat: where the vendor has a header for it, what changes something carries the same idempotency key at every
    attempt. A 401 gets one new access token and one more try.

    Fails with ``connector_status`` and ``connector_error`` (retryable for 408, 425, 429 and 5xx, with what the vendor
    says of the time to wait), ``connector_auth`` when no access token can be had, ``not_found`` and ``conflict`` for
    the credential, ``http_<kind>`` of egress, ``bad_config``, ``bad_response`` and ``too_large``.
    """
    assert ctx.services.connectors is not None  # app gives them
    with service_faults("connector"):
        connector = await ctx.services.connectors.get(ctx.principal, config.connector)
    with service_faults("action"):
        action = require_action(connector.definition, config.action)
    require_params(action, config.params)
    if config.page_all and action.paging.kind == "none":
        raise OperationError("bad_config", f"page_all: {action.key} has no pages", path="page_all")
    asker = _Asker(ctx, config, connector, await _credential(ctx, config, connector))
    params = dict(config.params)
    limit = action.paging.limit
    if config.page_all and limit is not None and limit not in params:
        params[limit] = action.paging.limit_max
    cursor = None if isinstance(config.cursor, UnsetType) else config.cursor
    if not config.page_all:
        answer = await asker.ask(params, cursor)
        following = next_of(action, params, cursor, answer.data, answer.links)
        return Done(_fitting(ctx, _output(answer.status, answer.data, following)))
    items: list[Any] = []
    for _ in range(config.pages_max):
        answer = await asker.ask(params, cursor)
        found = items_of(action, answer.data)
        if found is None:
            raise OperationError("bad_response", "the answer has no list where the connector says it is", path="action")
        items.extend(found)
        cursor = next_of(action, params, cursor, answer.data, answer.links)
        if cursor is None:
            break
        _fitting(ctx, _output(answer.status, items, cursor))
    return Done(_fitting(ctx, _output(answer.status, items, cursor)))


async def _credential(ctx: StepContext, config: ConnectorConfig, connector: Connector) -> Presented:
    assert ctx.services.credentials is not None
    named = None if isinstance(config.credential, UnsetType) else config.credential
    with service_faults("credential"):
        try:
            one = await ctx.services.credentials.choose(ctx.principal, connector.name, named, ctx.end_user_id)
            assert ctx.services.keeper is not None
            return await ctx.services.keeper.present(connector, one)
        except RefreshError as error:
            raise _no_token(error) from error


class _Asker:
    """Sends the requests of one step."""

    def __init__(self, ctx: StepContext, config: ConnectorConfig, connector: Connector, presented: Presented) -> None:
        self._ctx = ctx
        self._config = config
        self._connector = connector
        self._action = require_action(connector.definition, config.action)
        self._presented = presented
        self._renewed = False

    async def ask(self, params: dict[str, Any], cursor: str | None) -> Answer:
        """One page's answer, which is a good one."""
        prepared = self._prepare(params, cursor)
        answer = await self._send(prepared)
        if expired(self._connector.definition, answer) and not self._renewed:
            self._renewed = True
            if await self._renew():
                answer = await self._send(prepared)
        refuse_failed(self._connector.definition, answer, self._ctx.services.clock.now_ms())
        return answer

    def _prepare(self, params: dict[str, Any], cursor: str | None) -> Prepared:
        definition, settings = self._connector.definition, self._presented.credential.settings
        with service_faults("params"):
            if cursor is not None and self._action.paging.kind == "link":
                return prepare_link(definition, self._action, settings, cursor)
            if cursor is not None and self._action.paging.kind in ("page", "offset") and not cursor.isdecimal():
                raise OperationError("bad_config", "cursor: a number is wanted", path="cursor")
            more_query, more_body = with_cursor(self._action, cursor)
            return prepare(definition, self._action, settings, params, more_query, more_body)

    async def _renew(self) -> bool:
        assert self._ctx.services.keeper is not None
        try:
            fresh = await self._ctx.services.keeper.renew(self._connector, self._presented)
        except RefreshError as error:
            raise _no_token(error) from error
        if fresh is None:
            return False
        self._presented = fresh
        return True

    async def _send(self, prepared: Prepared) -> Answer:
        ctx, config, presented = self._ctx, self._config, self._presented
        headers = [*prepared.headers, *presented.headers]
        named = self._connector.definition.idempotency_header
        if named is not None and prepared.method in _CHANGING:
            headers.append((named, ctx.idempotency_key))
        request = OutboundRequest(
            method=prepared.method,
            url=prepared.url,
            headers=headers,
            body=prepared.body,
            timeout_s=None if isinstance(config.timeout_ms, UnsetType) else config.timeout_ms / 1000,
            follow_redirects=prepared.method == "GET",
            credential_headers=[name for name, _value in presented.headers],
        )
        try:
            async with ctx.services.outbound.stream(request) as stream:
                return await read_answer(stream, presented.secrets, ctx.services.output_bytes_max)
        except EgressError as error:
            path = "timeout_ms" if error.field == "timeout_s" else "params" if error.field else None
            raise OperationError(
                f"http_{error.kind.value}", error.message, path=path, retryable=error.retryable
            ) from None


def _no_token(error: RefreshError) -> OperationError:
    return OperationError("connector_auth", error.message, path="credential", retryable=error.retryable)


def _output(status: int, data: Any, following: str | None) -> dict[str, Any]:
    output = {"status": status, "data": data}
    return output if following is None else {**output, "next": following}


def _fitting(ctx: StepContext, output: dict[str, Any]) -> dict[str, Any]:
    most = ctx.services.output_bytes_max
    if len(msgspec.json.encode(output)) > most:
        raise OperationError("too_large", f"the answer does not fit into a step's output of {most} bytes")
    return output


OPERATION = Operation(
    name="connector.action",
    config=ConnectorConfig,
    summary="Asks an application for one of its actions. Output: {status, data, next?}.",
    execute=execute,
    check=check,
)
