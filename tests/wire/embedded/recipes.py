"""For each route of the embedded contract that changes something: one request that succeeds."""

from __future__ import annotations

from typing import Any

from tests.wire.recipes import NOOP, Kitchen, Order, Recipe


async def _offered(kitchen: Kitchen) -> tuple[str, str, str]:
    """An end user, and a workflow with its name that can be installed."""
    name = kitchen.name("offered")
    workflow = await kitchen.served.publish(NOOP, name=name)
    await _release(kitchen, workflow, "1.0.0")
    return await kitchen.end_user(), workflow, name


async def _installed(kitchen: Kitchen) -> tuple[str, str, str]:
    user, workflow, name = await _offered(kitchen)
    await kitchen.make("/installations", {"end_user_id": user, "workflow_id": workflow})
    return user, workflow, name


async def _release(kitchen: Kitchen, workflow: str, label: str) -> None:
    await kitchen.served.data("POST", f"/workflow-definitions/{workflow}/releases", {"release": label}, status=201)


def _recipes(prefix: str) -> dict[str, Recipe]:
    async def create(kitchen: Kitchen) -> Order:
        return Order(f"{prefix}/users", {"username": kitchen.name("person")})

    def of_user(path: str, body: Any = None) -> Recipe:
        async def recipe(kitchen: Kitchen) -> Order:
            return Order(prefix + path.format(await kitchen.end_user()), body)

        return recipe

    async def trigger(kitchen: Kitchen) -> Order:
        return Order(f"{prefix}/run/event", {"userId": await kitchen.end_user(), "event": "order.created"})

    async def activate(kitchen: Kitchen) -> Order:
        user, workflow, _name = await _offered(kitchen)
        return Order(f"{prefix}/workflows/activate", {"userId": user, "workflowId": workflow})

    async def deactivate(kitchen: Kitchen) -> Order:
        user, workflow, _name = await _installed(kitchen)
        return Order(f"{prefix}/workflows/deactivate", {"userId": user, "workflowId": workflow})

    async def upgrade(kitchen: Kitchen) -> Order:
        user, workflow, name = await _installed(kitchen)
        await kitchen.served.publish({**NOOP, "key": "b"}, name=name)
        await _release(kitchen, workflow, "2.0.0")
        return Order(f"{prefix}/workflows/{workflow}/upgrade", {"userId": user, "version": "2.0.0"})

    async def install(kitchen: Kitchen) -> Order:
        user, workflow, _name = await _offered(kitchen)
        return Order(f"{prefix}/workflows/{workflow}/install", {"userId": user})

    async def uninstall(kitchen: Kitchen) -> Order:
        user, workflow, _name = await _installed(kitchen)
        return Order(f"{prefix}/workflows/{workflow}?userId={user}")

    return {
        f"POST {prefix}/users": create,
        f"PUT {prefix}/users/{{userId}}": of_user("/users/{}", {"fullName": "Other"}),
        f"DELETE {prefix}/users/{{userId}}": of_user("/users/{}"),
        f"DELETE {prefix}/users/{{userId}}/logs": of_user("/users/{}/logs"),
        f"POST {prefix}/run/event": trigger,
        f"PUT {prefix}/workflows/activate": activate,
        f"PUT {prefix}/workflows/deactivate": deactivate,
        f"PUT {prefix}/workflows/{{workflowId}}/upgrade": upgrade,
        f"POST {prefix}/workflows/{{workflowId}}/install": install,
        f"DELETE {prefix}/workflows/{{workflowId}}": uninstall,
    }


# The older versions have one prefix among themselves, under which all are served.
RECIPES: dict[str, Recipe] = _recipes("/2025-09") | _recipes("/2024-03")
