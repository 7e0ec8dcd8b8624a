"""`/v1/authz/check`: whether the caller may do something, asked without doing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from alloyd.domain.authz.model import Resource, check_id, parse_resource
from alloyd.domain.authz.service import decide
from alloyd.errors import bad_request, not_found
from alloyd.principal import ACTIONS, ANY_ID, RESOURCES, Decision, Principal
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.fields import CheckedId, CheckedResource
from alloyd.wire.route import SIGNED_IN, Call, FindOwner, Route

CHECKS_MAX = 200
TEXT_CHARS_MAX = 300

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_CHARS_MAX)]


class CheckBody(msgspec.Struct, frozen=True, kw_only=True):
    """An action, and what it would be done to: `resource` as `<type>:<id>`, or `resource_type` and `resource_id`."""

    action: Text
    resource: CheckedResource | None = None
    resource_type: Text | None = None
    resource_id: CheckedId | None = None
    organization_id: str | None = None


class CheckBatchBody(msgspec.Struct, frozen=True, kw_only=True):
    """Several checks at once."""

    checks: Annotated[tuple[CheckBody, ...], msgspec.Meta(max_length=CHECKS_MAX)]
    organization_id: str | None = None


class DecisionJson(msgspec.Struct, frozen=True, kw_only=True):
    """The answer, and why it is so."""

    allowed: bool
    reason: str


class Authz:
    """The handlers of `/v1/authz`. ``owners`` finds the organization of a thing by its id, for each type it knows."""

    def __init__(self, owners: Mapping[str, FindOwner]) -> None:
        self._owners = owners

    async def check(self, call: Call) -> DecisionJson:
        """Control contract: `POST /v1/authz/check`; a no is 200."""
        body: CheckBody = call.body
        organization_of(call, body.organization_id)
        return await self._answer(call.who, body, None, "")

    async def check_batch(self, call: Call) -> Sequence[DecisionJson]:
        """Control contract: `POST /v1/authz/check-batch`, answered in order."""
        body: CheckBatchBody = call.body
        organization_of(call, body.organization_id)
        given = enumerate(body.checks)
        return [await self._answer(call.who, each, body.organization_id, f"checks[{at}].") for at, each in given]

    async def _answer(self, who: Principal, body: CheckBody, org_id: str | None, place: str) -> DecisionJson:
        kind, id_ = _read_resource(body, place)
        named = body.organization_id or org_id
        there = who if named is None else who.within(named)
        if there is None:
            raise not_found("organization")
        decision = await self._decide(there, body.action, kind, id_, may_move=named is None)
        return DecisionJson(allowed=decision.allowed, reason=decision.reason)

    async def _decide(self, who: Principal, action: str, kind: str, id_: str, *, may_move: bool) -> Decision:
        if action not in ACTIONS or not kind:
            return decide(who, action)
        if kind not in RESOURCES:
            return Decision(False, "there is no such type of resource")
        owner = self._owners.get(kind)
        if owner is None or id_ == ANY_ID:
            return decide(who, action, Resource(kind, id_, who.org_id))
        org_id = await owner(id_)
        if may_move and org_id is not None:
            who = who.within(org_id) or who
        return decide(who, action, Resource(kind, id_, org_id or ""))


def _read_resource(body: CheckBody, place: str) -> tuple[str, str]:
    """Type and id of what is asked about, both empty for nothing in particular. Raises ``bad_request``."""
    if body.resource is not None:
        if body.resource_type is not None or body.resource_id is not None:
            raise bad_request(f"{place}resource: given in two ways", f"{place}resource")
        return parse_resource(body.resource, f"{place}resource")
    if body.resource_type is None and body.resource_id is None:
        return "", ""
    if body.resource_type is None or body.resource_id is None:
        missing = f"{place}{'resource_type' if body.resource_type is None else 'resource_id'}"
        raise bad_request(f"{missing}: required", missing)
    return body.resource_type, check_id(body.resource_id, f"{place}resource_id")


def routes(owners: Mapping[str, FindOwner]) -> list[Route]:
    """The routes of this file."""
    api = Authz(owners)
    return [
        Route(
            "POST",
            "/authz/check",
            api.check,
            SIGNED_IN,
            "Whether the caller may do something; a no is an answer too",
            body=CheckBody,
            output=DecisionJson,
            statuses=(404,),
            mutates=False,
        ),
        Route(
            "POST",
            "/authz/check-batch",
            api.check_batch,
            SIGNED_IN,
            "Several checks at once, answered in order",
            body=CheckBatchBody,
            output=list[DecisionJson],
            statuses=(404,),
            mutates=False,
        ),
    ]
