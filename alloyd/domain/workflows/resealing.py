"""For a change of the key: the secrets of definitions, sealed anew. What the definitions say stays the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from alloyd.db import Tx
from alloyd.domain.workflows import store
from alloyd.domain.workflows.secrets import DefinitionSecrets

_SEPARATOR: Final = ":"


def resealer(secrets: DefinitionSecrets) -> Callable[[Tx, str, int], str | None]:
    """``(tx, after, limit)``: seals the secrets of some versions anew; what to go on after, None at the end."""

    def reseal_some(tx: Tx, after: str, limit: int) -> str | None:
        workflow_id, _, number = after.partition(_SEPARATOR)
        found = store.list_versions_after(tx.conn, workflow_id, int(number or 0), limit)
        for version in found:
            workflow = version.workflow
            fresh = secrets.reseal(version.definition, workflow.org_id, workflow.id)
            if fresh != version.definition:
                store.replace_definition(tx, workflow.org_id, workflow.id, version.version, fresh)
        return f"{found[-1].workflow.id}{_SEPARATOR}{found[-1].version}" if found else None

    return reseal_some
