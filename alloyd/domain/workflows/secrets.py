"""Secrets in definitions: sealed before they are stored, opened only to run, shown to nobody.

A secret is a text in a place that an operation declares (``Operation.secrets``), or a webhook trigger's. A template in
such a place is no secret but says where one comes from, and stays as it is.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from alloyd.domain.operations.catalogue import find_operation
from alloyd.domain.operations.validation import is_template
from alloyd.domain.workflows.flow import operation_of_step
from alloyd.domain.workflows.triggers import SECRET_KEPT
from alloyd.errors import AlloydError, Code
from alloyd.kit.crypto import Sealer

MASK: Final = SECRET_KEPT
_SEALED: Final = "sealed:"
_INLINE_DEPTH_MAX: Final = 16


class DefinitionSecrets:
    """Seals and opens the secrets of definitions. ``fingerprint_key``: 32 bytes for telling contents apart."""

    def __init__(self, sealer: Sealer, fingerprint_key: bytes) -> None:
        self._sealer = sealer
        self._key = fingerprint_key

    def to_compare(self, definition: dict[str, Any]) -> dict[str, Any]:
        """The definition with a keyed fingerprint for each secret: the same for the same content, and telling nothing.

        A plain digest of the whole would let a short secret be guessed.
        """
        return _replaced(
            definition, lambda _place, text: hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
        )

    def fill_in(
        self, definition: dict[str, Any], former: dict[str, Any] | None, org_id: str, workflow_id: str
    ) -> dict[str, Any]:
        """The definition with each :data:`MASK` replaced by the secret that ``former``, as stored, has at its place.

        So what was exported can be saved again. Raises ``unprocessable`` where there is none.
        """
        known = dict(secret_places(former or {}))

        def fill(place: str, text: str) -> str:
            if text != MASK:
                return text
            if place not in known:
                told = f"{place}: {MASK} keeps the secret of the version before, which has none there"
                raise AlloydError(
                    Code.UNPROCESSABLE, told, field=place, details=[{"path": place, "message": told.partition(": ")[2]}]
                )
            return self._open(known[place], _about(org_id, workflow_id, place))

        return _replaced(definition, fill)

    def seal(self, definition: dict[str, Any], org_id: str, workflow_id: str) -> dict[str, Any]:
        """The definition as it is stored."""
        return _replaced(
            definition,
            lambda place, text: _SEALED + self._sealer.seal(text.encode(), _about(org_id, workflow_id, place)),
        )

    def open(self, definition: dict[str, Any], org_id: str, workflow_id: str) -> dict[str, Any]:
        """A stored definition with its secrets in the clear: to be run, never to be shown."""
        return _replaced(definition, lambda place, text: self._open(text, _about(org_id, workflow_id, place)))

    def reseal(self, definition: dict[str, Any], org_id: str, workflow_id: str) -> dict[str, Any]:
        """A stored definition with its secrets under the newest key; those it has already stay as they are."""

        def fresh(place: str, text: str) -> str:
            if not text.startswith(_SEALED):
                return text
            sealed = self._sealer.reseal(text.removeprefix(_SEALED), _about(org_id, workflow_id, place))
            return text if sealed is None else _SEALED + sealed

        return _replaced(definition, fresh)

    def _open(self, text: str, about: str) -> str:
        if not text.startswith(_SEALED):
            return text  # stored before its place was one for secrets
        return self._sealer.unseal(text.removeprefix(_SEALED), about).decode()


def masked(definition: dict[str, Any]) -> dict[str, Any]:
    """The definition as anybody may see it."""
    return _replaced(definition, lambda _place, _text: MASK)


def secret_places(definition: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each secret with its place, which is the same in every version: steps go by their keys."""
    for place, holder, name in _holders(definition):
        yield place, holder[name]


def _about(org_id: str, workflow_id: str, place: str) -> str:
    return f"workflow_versions {org_id} {workflow_id} {place}"


def _replaced(definition: dict[str, Any], change: Callable[[str, str], str]) -> dict[str, Any]:
    if next(_holders(definition), None) is None:
        return definition
    changed: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(definition))  # no two places share an object
    for place, holder, name in list(_holders(changed)):
        holder[name] = change(place, holder[name])
    return changed


def _holders(definition: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Place, the object that holds a secret, and its name there. The definition need not be sound."""
    trigger = definition.get("trigger")
    if isinstance(trigger, dict) and trigger.get("type") == "webhook" and _is_secret(trigger.get("secret")):
        yield "trigger.secret", trigger, "secret"
    nodes = definition.get("nodes")
    yield from _in_nodes(nodes, "nodes", _INLINE_DEPTH_MAX)
    flow = definition.get("flow")
    if isinstance(flow, dict):
        for key, step in flow.items():
            if isinstance(step, dict):
                yield from _in_config(operation_of_step(step), step.get("config"), f"flow.{key}", _INLINE_DEPTH_MAX)


def _in_nodes(nodes: Any, place: str, depth: int) -> Iterator[tuple[str, dict[str, Any], str]]:
    if not isinstance(nodes, list) or not depth:
        return
    for node in nodes:
        if isinstance(node, dict):
            yield from _in_config(node.get("operation"), node.get("config"), f"{place}.{node.get('key')}", depth)


def _in_config(name: Any, config: Any, place: str, depth: int) -> Iterator[tuple[str, dict[str, Any], str]]:
    operation = find_operation(name) if isinstance(name, str) else None
    if operation is None or not isinstance(config, dict):
        return
    for path in operation.secrets:
        *outer, last = path.split(".")
        holder: Any = config
        for part in outer:
            holder = holder.get(part) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and _is_secret(holder.get(last)):
            yield f"{place}.config.{path}", holder, last
    if operation.inline is not None:
        yield from _in_nodes(config.get(operation.inline), f"{place}.config.{operation.inline}", depth - 1)


def _is_secret(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and not is_template(value)
