"""The organization that a request names, checked against its credential."""

from __future__ import annotations

from alloyd.domain.authz.service import authorize
from alloyd.errors import not_found
from alloyd.principal import ACTIONS
from alloyd.wire.route import Call


def require_own_organization(call: Call) -> str:
    """The organization in the path's ``{id}``. Raises ``not_found`` unless the caller acts in it: a route of it has an
    ``owner``, so whoever belongs there does."""
    org_id = call.param("id")
    if org_id != call.who.org_id:
        raise not_found("organization")
    return org_id


def organization_of(call: Call, named: str | None) -> str:
    """The organization a request is about: ``organization_id`` of its body or query, by default the credential's.

    A user of several acts in the one that is named from here on, with the role it has there. Raises ``not_found``,
    the same for another's organization as for none at all, and ``forbidden`` when the role there is not enough.
    """
    if named is None or named == call.who.org_id:
        return call.who.org_id
    moved = call.who.within(named)
    if moved is None:
        raise not_found("organization")
    call.principal = moved
    if call.route.permission in ACTIONS:
        authorize(moved, call.route.permission)
    return named
