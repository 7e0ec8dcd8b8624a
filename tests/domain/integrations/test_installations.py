"""Installations as the embedded surface and events use them: activation, upgrades, and who never sees whose."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from alloyd.domain.integrations.installations import InstallationService, find_active_for_event, find_installation
from alloyd.domain.integrations.model import Installation
from alloyd.errors import AlloydError, Code
from alloyd.principal import Principal
from tests.app import Served, open_app

NOOP = {"key": "a", "operation": "workflow.noop"}
EVENT = "order.created"


@dataclass
class World:
    """Two organizations, end users `ann` and `bea` in both, and a workflow `flow` that an event starts in both."""

    served: Served
    here: InstallationService
    acme: Principal
    other: Principal
    ids: dict[tuple[str, str], str]

    async def publish(self, event: str | None = EVENT, name: str = "flow", slug: str = "acme") -> str:
        trigger = {} if event is None else {"trigger": {"type": "event", "event": event}}
        keys = [f"k{n}" for n in range(1 + len(await self.served.kinds()))]  # another content each time
        return await self.served.publish(*({**NOOP, "key": key} for key in keys), name=name, slug=slug, **trigger)

    async def release(self, label: str, flow: str = "flow") -> None:
        workflow = (await self.served.app.workflows.get_by_name(self.acme, flow)).workflow
        await self.served.app.releases.release(self.acme, workflow.id, label, None)

    async def for_event(self, user: str, event: str = EVENT, who: Principal | None = None) -> list[Installation]:
        principal = who or self.acme
        slug = "acme" if principal is self.acme else "other"
        user_id = self.ids.get((slug, user), user)
        return await self.served.app.database.read(
            lambda conn: find_active_for_event(conn, principal.org_id, user_id, event)
        )

    async def told(self) -> list[str]:
        return [kind for kind in await self.served.kinds() if kind.startswith("installation.")]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_app(tmp_path) as served:
        acme, other = await served.principal(), await served.principal("other")
        ids = {
            (slug, name): (await served.app.end_users.create(who, name)).id
            for (slug, who), name in product((("acme", acme), ("other", other)), ("ann", "bea"))
        }
        found = World(served, served.app.installations, acme, other, ids)
        for slug in ("acme", "other"):
            await found.publish(slug=slug)
        yield found


async def refused(call: Any) -> tuple[Code, str | None]:
    with pytest.raises(AlloydError) as caught:
        await call
    return caught.value.code, caught.value.field


async def test_activate_installs_once_and_switches(world: World) -> None:
    first = await world.here.activate(world.acme, "ann", "flow")
    assert (first.release, first.version, first.active, first.event) == ("1.0.0", 1, True, EVENT)
    assert await world.here.activate(world.acme, world.ids["acme", "ann"], first.workflow_id) == first
    off = await world.here.deactivate(world.acme, "ann", "flow")
    assert (off.id, off.active) == (first.id, False)
    assert await world.here.deactivate(world.acme, "ann", "flow") == off
    assert await world.for_event("ann") == []
    assert (await world.here.activate(world.acme, "ann", "flow")).active
    assert [one.id for one in await world.for_event("ann")] == [first.id]
    assert await world.told() == ["installation.created", "installation.deactivated", "installation.activated"]


async def test_what_is_not_installed(world: World) -> None:
    for call in (world.here.deactivate, world.here.upgrade, world.here.uninstall):
        for user, flow in (("ann", "flow"), ("nobody", "flow"), ("ann", "none"), ("\ud800", "flow"), ("ann", "\ud800")):
            assert await refused(call(world.acme, user, flow)) == (Code.NOT_FOUND, None)
    for user, flow in (("nobody", "flow"), ("ann", "none")):
        assert await refused(world.here.activate(world.acme, user, flow)) == (Code.NOT_FOUND, None)
        assert await refused(world.here.ensure_installed(world.acme, user, flow)) == (Code.NOT_FOUND, None)
    assert await world.told() == []


async def test_ensure_installed_changes_nothing_that_is_there(world: World) -> None:
    made = await world.here.ensure_installed(world.acme, "ann", "flow")
    off = await world.here.deactivate(world.acme, "ann", "flow")
    assert await world.here.ensure_installed(world.acme, "ann", "flow") == off
    assert off.id == made.id


async def test_from_a_browser_only_what_is_offered_is_installed(world: World) -> None:
    async def activate() -> Installation:
        return await world.here.activate(world.acme, "ann", "flow", offered_only=True)

    assert await refused(activate()) == (Code.NOT_FOUND, None)
    integrations = world.served.app.integrations
    await integrations.create(world.acme, "app", "App")
    await integrations.add_workflow(world.acme, "int_app", "flow")
    made = await activate()
    await integrations.delete(world.acme, "int_app")
    assert await activate() == made  # what is installed stays


async def test_upgrade_moves_version_and_event_and_nothing_else(world: World) -> None:
    await world.release("1.0.0")
    made = await world.here.install(world.acme, "ann", "flow", configuration={"a": 1}, active=False)
    await world.publish("order.paid")
    assert await world.here.upgrade(world.acme, "ann", "flow") == made  # published, but not released
    await world.release("2.0.0")
    assert await world.for_event("ann", "order.paid") == []
    assert await refused(world.here.upgrade(world.acme, "ann", "flow", "9.9")) == (Code.BAD_REQUEST, "version")
    moved = await world.here.upgrade(world.acme, "ann", "flow")
    assert (moved.release, moved.version, moved.event) == ("2.0.0", 2, "order.paid")
    assert (moved.id, moved.configuration, moved.active) == (made.id, {"a": 1}, False)
    assert await refused(world.here.upgrade(world.acme, "ann", "flow", "1.0.0")) == (Code.BAD_REQUEST, "version")
    for same in ("2.0.0", None):
        assert await world.here.upgrade(world.acme, "ann", "flow", same) == moved
    await world.here.activate(world.acme, "ann", "flow")
    assert [one.id for one in await world.for_event("ann", "order.paid")] == [made.id]
    assert await world.for_event("ann", EVENT) == []
    assert await world.told() == ["installation.created", "installation.upgraded", "installation.activated"]


async def test_before_the_first_release_the_published_version_is_1_0_0(world: World) -> None:
    made = await world.here.activate(world.acme, "ann", "flow")
    await world.publish()
    moved = await world.here.upgrade(world.acme, "ann", "flow")
    assert [(one.release, one.version) for one in (made, moved)] == [("1.0.0", 1), ("1.0.0", 2)]
    await world.release("0.9")
    assert await world.here.upgrade(world.acme, "ann", "flow") == moved  # never back
    assert (await world.here.activate(world.acme, "bea", "flow")).release == "0.9"


@pytest.mark.parametrize(
    ("event", "asked", "found"),
    [
        (EVENT, EVENT, True),
        (EVENT, "order.created.x", False),
        (EVENT, "Order.created", False),
        (EVENT, "order.*", False),
        ("order.*", "order.created", False),  # a pattern names no one event
        ("order.*", "order.*", False),
        ("Order Created", "Order Created", True),
        ("Order Created", "order created", False),
        ("ORDER_PAID", "ORDER_PAID", True),
        ("order-created", "order-created", True),
        ("Gr\u00fc\u00dfe \u2603: 'x' \"y\" %", "Gr\u00fc\u00dfe \u2603: 'x' \"y\" %", True),
        ("order*", "order*", True),
        ("order*", "orders", False),
        ("x" * 200, "x" * 200, True),
        (None, EVENT, False),
        (None, "", False),
    ],
)
async def test_an_event_is_matched_exactly(world: World, event: str | None, asked: str, found: bool) -> None:
    await world.publish(event, name="own")
    await world.here.activate(world.acme, "ann", "own")
    assert bool(await world.for_event("ann", asked)) is found


async def test_events_are_found_by_the_index(world: World) -> None:
    def plan(conn: Any) -> str:
        sql = (
            "SELECT id FROM installations WHERE org_id = ? AND end_user_id = ? AND event = ? AND active = 1 ORDER BY id"
        )
        return " ".join(row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", ("o", "u", "e")))

    assert "installations_by_event (org_id=? AND end_user_id=? AND event=?)" in await world.served.app.database.read(
        plan
    )


async def test_no_user_and_no_organization_sees_anothers(world: World) -> None:
    """Each of the four users installs and switches; only the own state changes."""
    made: dict[tuple[str, str], Installation] = {}
    whos = {"acme": world.acme, "other": world.other}
    for slug, name in world.ids:
        made[slug, name] = await world.here.activate(whos[slug], name, "flow")
    assert len({one.id for one in made.values()}) == 4
    await world.here.deactivate(world.acme, "ann", "flow")
    for slug, name in world.ids:
        left = await world.for_event(name, EVENT, whos[slug])
        assert left == ([] if (slug, name) == ("acme", "ann") else [made[slug, name]])
    # By ids of the other organization there is nothing, whichever of the two is foreign.
    theirs = made["other", "ann"]
    own_flow = made["acme", "bea"].workflow_id
    for user, flow in ((theirs.end_user_id, own_flow), ("bea", theirs.workflow_id), (theirs.end_user_id, "flow")):
        for call in (world.here.activate, world.here.deactivate, world.here.upgrade, world.here.uninstall):
            assert await refused(call(world.acme, user, flow)) == (Code.NOT_FOUND, None)
    assert await world.for_event(theirs.end_user_id) == []
    read = world.served.app.database.read
    assert await read(lambda c: find_installation(c, world.acme.org_id, theirs.end_user_id, theirs.workflow_id)) is None
    assert await read(lambda c: find_installation(c, theirs.org_id, theirs.end_user_id, theirs.workflow_id)) == theirs
    for by_id in (world.here.get, world.here.remove):
        assert await refused(by_id(world.acme, theirs.id)) == (Code.NOT_FOUND, None)
    assert await refused(world.here.update(world.acme, theirs.id, active=False)) == (Code.NOT_FOUND, None)
    await world.here.uninstall(world.acme, "bea", "flow")
    assert [one.installation for one in await world.here.list_choices(world.other, "bea")] == [made["other", "bea"]]
    assert [one.name for one in await world.here.list_choices(world.acme, "ann")] == ["flow"]
    assert await world.here.list_choices(world.acme, "bea") == []


async def test_integrations_say_what_is_installed_for_whom(world: World) -> None:
    integrations = world.served.app.integrations
    for slug in ("zoom", "app"):
        await integrations.create(world.acme, slug, slug.title())
    await integrations.create(world.other, "app", "Theirs")
    await world.publish(name="second")
    for flow in ("flow", "second"):
        await integrations.add_workflow(world.acme, "int_app", flow)
    await integrations.add_workflow(world.other, "int_app", "flow")

    async def installed(who: Principal, user: str) -> list[tuple[str, bool]]:
        return [(one.integration.id, one.installed) for one in await world.here.list_integrations(who, user)]

    await world.here.install(world.acme, "ann", "second", active=False)
    assert await installed(world.acme, "ann") == [("int_app", True), ("int_zoom", False)]
    assert await installed(world.acme, "bea") == [("int_app", False), ("int_zoom", False)]
    assert await installed(world.other, "ann") == [("int_app", False)]
    assert await refused(world.here.list_integrations(world.acme, "nobody")) == (Code.NOT_FOUND, None)
    await world.here.uninstall(world.acme, "ann", "second")
    assert await installed(world.acme, "ann") == [("int_app", False), ("int_zoom", False)]


async def test_whoever_removes_it_the_hook_hears_of_each_installation(world: World) -> None:
    seen: list[str] = []
    world.here.on_remove(lambda _tx, one: seen.append(one.id))
    one, two, three = [await world.here.activate(world.acme, user, "flow") for user in ("ann", "bea")] + [
        await world.here.activate(world.other, "ann", "flow")
    ]
    await world.here.uninstall(world.acme, "ann", "flow")
    await world.served.app.end_users.delete(world.acme, "bea")
    await world.served.app.workflows.delete(world.other, three.workflow_id)
    assert seen == [one.id, two.id, three.id]
    assert await world.for_event("ann", EVENT, world.other) == []
