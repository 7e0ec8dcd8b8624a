from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alloyd.db import Tx
from alloyd.domain.idempotency.model import Once
from alloyd.domain.orgs import service
from alloyd.errors import AlloydError, Code
from alloyd.kit.ids import new_id
from tests.identity import World, open_world

# Always the same: parallel workers compare the tests' names.
SOME_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


async def test_create_and_find_by_either_name(world: World) -> None:
    org = await world.orgs.create("acme", "Acme Ltd")
    assert (org.slug, org.name, org.archived) == ("acme", "Acme Ltd", False)
    assert await world.orgs.get(org.id) == await world.orgs.get_by_name("acme") == org
    assert await world.told() == [("organization.created", org.id, {"slug": "acme", "name": "Acme Ltd"})]


async def test_taken_slug_changes_nothing(world: World) -> None:
    await world.make_org("acme")
    with pytest.raises(AlloydError) as caught:
        await world.make_org("acme")
    assert (caught.value.code, caught.value.field) == (Code.CONFLICT, "slug")
    assert len(await world.orgs.list_all(10)) == 1


@pytest.mark.parametrize("name", ["nobody", SOME_ID, "", "\udcff", "x" * 5000])
async def test_unknown_name(world: World, name: str) -> None:
    with pytest.raises(AlloydError) as caught:
        await world.orgs.get_by_name(name)
    assert (caught.value.code, caught.value.message) == (Code.NOT_FOUND, "organization not found")


async def test_list_is_newest_first_and_goes_on(world: World) -> None:
    made = [(await world.make_org(f"org-{number}")).id for number in range(5)]
    first = await world.orgs.list_all(3)
    rest = await world.orgs.list_all(3, first[-1].id)
    assert [org.id for org in [*first, *rest]] == made[::-1]


async def test_rename(world: World) -> None:
    org = await world.make_org("acme")
    world.clock.advance(5)
    renamed = await world.orgs.rename("acme", slug="umbra", name="Umbra")
    assert (renamed.id, renamed.slug, renamed.name, renamed.updated_at) == (
        org.id,
        "umbra",
        "Umbra",
        org.created_at + 5,
    )
    assert (await world.orgs.rename(org.id, name="Only")).slug == "umbra"
    assert (await world.told())[1] == (
        "organization.renamed",
        org.id,
        {"slug": "umbra", "name": "Umbra", "former_slug": "acme"},
    )


@pytest.mark.parametrize(
    ("slug", "name", "code"),
    [
        (None, None, Code.BAD_REQUEST),
        ("Bad", None, Code.BAD_REQUEST),
        (None, "", Code.BAD_REQUEST),
        ("other", None, Code.CONFLICT),
    ],
)
async def test_refused_rename(world: World, slug: str | None, name: str | None, code: Code) -> None:
    before = await world.make_org("acme")
    await world.make_org("other")
    with pytest.raises(AlloydError) as caught:
        await world.orgs.rename("acme", slug=slug, name=name)
    assert caught.value.code is code
    assert await world.orgs.get(before.id) == before


async def test_archive_is_for_good_and_told_once(world: World) -> None:
    org = await world.make_org("acme")
    first = await world.orgs.archive("acme")
    world.clock.advance(10)
    assert await world.orgs.archive(org.id) == first
    assert first.archived_at == first.updated_at == org.created_at
    assert (await world.kinds()).count("organization.archived") == 1
    with pytest.raises(AlloydError, match="archived"):
        await world.orgs.rename("acme", name="x")


async def test_default_is_the_one_called_so_then_the_oldest_active(world: World) -> None:
    assert await world.orgs.find_default() is None
    with pytest.raises(AlloydError, match="organization not found"):
        await world.orgs.get_default()
    oldest = await world.make_org("oldest")
    assert await world.orgs.get_default() == oldest
    default = await world.make_org("default")
    assert await world.orgs.get_default() == default
    await world.orgs.archive("default")
    assert await world.orgs.get_default() == oldest


async def test_require_active(world: World) -> None:
    org = await world.make_org("acme")

    def ask(org_id: str) -> object:
        return world.database.write(lambda tx: service.require_active(tx, org_id))

    await ask(org.id)
    with pytest.raises(AlloydError, match="not found"):
        await ask(new_id())
    await world.orgs.archive(org.id)
    with pytest.raises(AlloydError) as caught:
        await ask(org.id)
    assert caught.value.code is Code.CONFLICT


async def test_what_fails_in_an_archive_hook_leaves_all_as_it_was(world: World) -> None:
    org = await world.make_org("acme")

    def refuse(_tx: Tx, _org_id: str) -> None:
        raise ValueError("no")

    world.orgs.on_archive(refuse)
    with pytest.raises(ValueError, match="no"):
        await world.orgs.archive("acme")
    assert await world.orgs.get(org.id) == org
    assert "organization.archived" not in await world.kinds()


async def test_a_hundred_copies_make_one(world: World) -> None:
    once = Once("POST /organizations", "k", "d")
    made = await asyncio.gather(*(world.orgs.create("acme", "A", once) for _ in range(100)))
    assert len({org.id for org in made}) == 1
    assert await world.kinds() == ["organization.created"]
