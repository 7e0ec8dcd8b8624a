"""`/v1/connectors`: what workflows can ask other applications for, and an organization's own connectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from alloyd.domain.connectors.model import Action, Connector, params_schema
from alloyd.domain.connectors.service import ConnectorService
from alloyd.kit.clock import rfc3339
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.fields import IdempotencyKey, told
from alloyd.wire.idempotency import read_once
from alloyd.wire.route import Call, Route


class SaveConnectorBody(msgspec.Struct, frozen=True, kw_only=True):
    """A connector of the organization's own; the same name again replaces its definition."""

    definition: Annotated[
        dict[str, Any],
        Meta(description="name (own-...), title, reference, base_url, auth, actions; see the page about connectors."),
        told(required=["name", "title", "reference", "base_url", "auth", "actions"]),
    ]
    organization_id: str | None = None
    idempotency_key: IdempotencyKey | None = None


class ConnectorQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query of the list."""

    organization_id: str | None = None


class ActionJson(msgspec.Struct, frozen=True, kw_only=True):
    """An action; `params` is the JSON Schema of what it takes, `pages` whether its answer is a list that goes on."""

    key: str
    title: str
    description: str
    method: str
    path: str
    reference: str | None
    pages: bool
    params: dict[str, Any]


class ConnectorJson(msgspec.Struct, frozen=True, kw_only=True):
    """A connector in short. `id` is the name of one that comes with alloyd, which belongs to no organization."""

    id: str
    organization_id: str | None
    name: str
    title: str
    description: str
    reference: str
    base_url: str
    auth: list[str]
    settings: dict[str, str]
    actions: list[str]
    created_at: str | None
    updated_at: str | None


class WholeConnectorJson(ConnectorJson, frozen=True, kw_only=True):
    """A connector with its actions' schemas; `definition` is how it is written."""

    action_schemas: list[ActionJson]
    definition: dict[str, Any]


class DeletedConnector(msgspec.Struct, frozen=True):
    """The id of what is gone."""

    id: str


class Connectors:
    """The handlers of `/v1/connectors`."""

    def __init__(self, connectors: ConnectorService) -> None:
        self._connectors = connectors

    async def post_connector(self, call: Call) -> WholeConnectorJson:
        """Embedded contract: "Connectors", an organization's own."""
        body: SaveConnectorBody = call.body
        organization_of(call, body.organization_id)
        return _whole(await self._connectors.save(call.who, body.definition, read_once(call, body.idempotency_key)))

    async def list_connectors(self, call: Call) -> Sequence[ConnectorJson]:
        """Those that come with alloyd, then the own ones."""
        organization_of(call, call.query.organization_id)
        return [ConnectorJson(**_members(one)) for one in await self._connectors.list_all(call.who)]

    async def get_connector(self, call: Call) -> WholeConnectorJson:
        """One connector by its id or name, with the schemas of its actions."""
        return _whole(await self._connectors.get(call.who, call.param("id")))

    async def delete_connector(self, call: Call) -> DeletedConnector:
        """Forget one of the own connectors."""
        return DeletedConnector((await self._connectors.delete(call.who, call.param("id"))).id)


def _whole(connector: Connector) -> WholeConnectorJson:
    return WholeConnectorJson(
        **_members(connector),
        action_schemas=[_action(action) for action in connector.definition.actions],
        definition=msgspec.to_builtins(connector.definition),
    )


def _action(action: Action) -> ActionJson:
    return ActionJson(
        key=action.key,
        title=action.title,
        description=action.description,
        method=action.method,
        path=action.path,
        reference=action.reference,
        pages=action.paging.kind != "none",
        params=params_schema(action),
    )


def _members(connector: Connector) -> dict[str, Any]:
    definition = connector.definition
    return {
        "id": connector.id,
        "organization_id": connector.org_id,
        "name": connector.name,
        "title": definition.title,
        "description": definition.description,
        "reference": definition.reference,
        "base_url": definition.base_url,
        "auth": [auth.kind for auth in definition.auth],
        "settings": {name: setting.title for name, setting in definition.settings.items()},
        "actions": [action.key for action in definition.actions],
        "created_at": None if connector.created_at is None else rfc3339(connector.created_at),
        "updated_at": None if connector.updated_at is None else rfc3339(connector.updated_at),
    }


def routes(connectors: ConnectorService) -> list[Route]:
    """The routes of this file."""
    api, stem = Connectors(connectors), "/connectors"
    owner = connectors.find_organization
    return [
        Route(
            "POST",
            stem,
            api.post_connector,
            "connector.write",
            "Make or replace a connector of the organization's own",
            body=SaveConnectorBody,
            output=WholeConnectorJson,
            status=201,
            statuses=(404, 409, 413, 422),
        ),
        Route(
            "GET",
            stem,
            api.list_connectors,
            "connector.read",
            "The connectors that come with alloyd, and the organization's own",
            query=ConnectorQuery,
            output=list[ConnectorJson],
            statuses=(404,),
        ),
        Route(
            "GET",
            f"{stem}/{{id}}",
            api.get_connector,
            "connector.read",
            "One connector by its id or name, with the schemas of its actions",
            output=WholeConnectorJson,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "DELETE",
            f"{stem}/{{id}}",
            api.delete_connector,
            "connector.write",
            "Delete one of the organization's own connectors",
            output=DeletedConnector,
            statuses=(404, 409),
            owner=owner,
        ),
    ]
