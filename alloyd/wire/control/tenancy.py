"""The organization that a request names, checked against its credential."""

from __future__ import annotations

from alloyd.errors import not_found
from alloyd.wire.route import Call


def organization_of(call: Call, named: str | None) -> str:
    """The organization a request is about: ``organization_id`` of its body or query, by default the credential's.

    Raises ``not_found``, the same for another's organization as for none at all.
    """
    if named is not None and named != call.who.org_id:
        raise not_found("organization")
    return call.who.org_id
