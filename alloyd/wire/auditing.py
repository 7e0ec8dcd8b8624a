"""What the audit trail is told of a request: the stamp of one that changes something, and every refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from alloyd.errors import AlloydError, Code
from alloyd.kit.stamp import ANONYMOUS, STAMP, Stamp
from alloyd.wire.address import caller_address
from alloyd.wire.route import OPERATOR, PLATFORM_ADMIN, PUBLIC, SIGNED_IN, STATUS, Call, Handler
from alloyd.wire.surface import BoundRoute

# (stamp, target, failed): a credential that was tried and is wrong has failed, all else was refused.
NoteRefusal = Callable[[Stamp, str, bool], None]

_READING: Final = frozenset({"GET", "HEAD"})
_NO_ACTION: Final = (PUBLIC, SIGNED_IN, OPERATOR, PLATFORM_ADMIN)
_TARGET_CHARS_MAX: Final = 100
# What a body says of the request itself, and not of the thing.
_NOT_OF_THE_THING: Final = frozenset({"idempotency_key", "organization_id"})


def action_of(bound: BoundRoute) -> str:
    """What the trail calls a request to this route."""
    route = bound.route
    if route.audit_as is not None:
        return route.audit_as
    if route.permission in _NO_ACTION:
        return f"{bound.surface.name} {route.method} {route.path}"
    return route.permission


def changes_something(bound: BoundRoute) -> bool:
    """Whether requests to this route are on record when they succeed: a GET only where it has a name of its own there,
    as the callback of OAuth 2."""
    reads = bound.route.method in _READING and bound.route.audit_as is None
    return bound.route.mutates and not reads


def stamping(bound: BoundRoute) -> Handler:
    """The route's handler, whose writes carry the request's stamp if it is there to change something."""
    handler = bound.route.handler
    if not changes_something(bound):
        return handler
    make_stamp = _stamp_maker(bound, bound.route.status)
    fields = _field_reader(bound.route.body)

    async def handle(call: Call) -> Any:
        stamp = make_stamp(call)
        if fields is not None:
            stamp.changed = fields(call.body)
        token = STAMP.set(stamp)
        try:
            return await handler(call)
        finally:
            STAMP.reset(token)

    return handle


def refusal_noter(bound: BoundRoute, note: NoteRefusal) -> Callable[[Call, AlloydError], None]:
    """Tells ``note`` of a request that was refused for who sends it; of any other failure nothing."""
    is_public = bound.route.permission == PUBLIC
    codes = {Code.UNAUTHORIZED, Code.FORBIDDEN, *([Code.RATE_LIMITED] if is_public else [])}
    make_stamps = {code: _stamp_maker(bound, STATUS[code]) for code in codes}
    resource = bound.route.resource

    def tell(call: Call, error: AlloydError) -> None:
        make_stamp = make_stamps.get(error.code)
        if make_stamp is None:
            return
        target = ""
        if resource is not None and call.principal is not None:  # what a stranger names is not written down
            target = f"{resource[0]}:{call.param(resource[1])}"[:_TARGET_CHARS_MAX]
        note(make_stamp(call), target, is_public and error.code is Code.UNAUTHORIZED)

    return tell


def _stamp_maker(bound: BoundRoute, status: int) -> Callable[[Call], Stamp]:
    action, route = action_of(bound), f"{bound.route.method} {bound.path}"

    def make(call: Call) -> Stamp:
        who, address = call.principal, caller_address(call.request)
        if who is None:
            return Stamp(action, ANONYMOUS, route=route, status=status, address=address, request_id=call.request_id)
        return Stamp(
            action,
            who.kind.value,
            who.id,
            who.org_id,
            route=route,
            status=status,
            address=address,
            request_id=call.request_id,
        )

    return make


def _field_reader(declared: Any) -> Callable[[Any], tuple[str, ...]] | None:
    """Reads the names of the fields that a body gives; None for bodies without declared ones, such as payloads."""
    if not (isinstance(declared, type) and issubclass(declared, msgspec.Struct)):
        return None
    known = [
        (field.name, field.encode_name, _default_of(field))
        for field in msgspec.structs.fields(declared)
        if field.encode_name not in _NOT_OF_THE_THING
    ]

    def read(body: Any) -> tuple[str, ...]:
        return tuple(shown for name, shown, default in known if getattr(body, name) != default)

    return read


def _default_of(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
