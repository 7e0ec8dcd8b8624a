"""The control plane's catalogue of operations."""

from __future__ import annotations

from alloyd.domain.operations.catalogue import Description, describe
from alloyd.wire.route import Call, Route


def routes() -> list[Route]:
    """``GET /v1/operations`` (contract: workflows, "Operations")."""
    return [
        Route(
            "GET",
            "/operations",
            list_operations,
            "operation.read",
            "List what the steps of a workflow can do, each with the JSON Schema of its config",
            output=list[Description],
        )
    ]


async def list_operations(_call: Call) -> list[Description]:
    """Every operation, in the catalogue's order; the list is short and fixed, so it has no pages."""
    return describe()
