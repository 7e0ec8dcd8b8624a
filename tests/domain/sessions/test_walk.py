"""A random walk through everything that changes memberships, against a model: what is cached is never behind."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from alloyd.domain.sessions.model import Use
from alloyd.domain.users import members as door
from alloyd.errors import AlloydError, Code
from alloyd.principal import SCOPES, Kind, Principal, Role
from tests.identity import World, open_world

STEPS = 250
ROLES = list(Role)


class Walk:
    """The model: who is what where, and which tokens count."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.rng = world, rng
        self.users: list[str] = []
        self.orgs: list[str] = []
        self.roles: dict[tuple[str, str], Role] = {}
        self.tokens: dict[str, str] = {}
        self.done: set[str] = set()

    async def begin(self) -> None:
        for slug in ("one", "two", "three"):
            self.orgs.append((await self.world.make_org(slug)).id)
        for number, org_id in enumerate([*self.orgs, self.orgs[0]]):
            user = await self.world.make_user(f"u{number}", org_id, Role.OWNER)
            self.users.append(user.id)
            self.roles[org_id, user.id] = Role.OWNER
            await self.renew(user.id)

    async def renew(self, user_id: str) -> None:
        """A token that names no organization: its standings tell all of them."""
        issued = await self.world.sessions.issue(user_id, None, None)
        self.tokens[user_id] = self.world.sessions._tokens[Use.CONTROL].sign(
            msgspec.structs.replace(issued.claims, org=None)
        )

    def owners(self, org_id: str) -> set[str]:
        return {user for (org, user), role in self.roles.items() if org == org_id and role is Role.OWNER}

    async def step(self) -> None:
        rng, members = self.rng, self.world.users.members
        org_id, user_id, role = rng.choice(self.orgs), rng.choice(self.users), rng.choice(ROLES)
        held = self.roles.get((org_id, user_id))
        caller = Principal(Kind.USER, "caller", org_id, rng.choice([*ROLES, Role.OWNER, Role.OWNER]), SCOPES)
        is_last = held is Role.OWNER and self.owners(org_id) == {user_id}
        action = rng.choice(["add", "set", "set", "expel", "sign out", "found"])
        expected: Code | None = None
        try:
            if action == "add":
                expected = Code.CONFLICT if held is not None else None
                await self.world.database.write(lambda tx: members.add(tx, org_id, user_id, role))
                self.roles[org_id, user_id] = role
            elif action == "set":
                expected = self.refusal(caller, held, role, last=is_last and role is not Role.OWNER)
                await members.set_role(caller, user_id, role)
                self.roles[org_id, user_id] = role
            elif action == "expel":
                expected = self.refusal(caller, held, Role.VIEWER, last=is_last)
                await members.expel(caller, user_id)
                del self.roles[org_id, user_id]
            elif action == "sign out":
                await self.world.users.sign_out_everywhere(user_id)
                assert await self.world.sessions.authenticate(self.tokens[user_id]) is None
                await self.renew(user_id)
            elif len(self.orgs) < 8:
                org = await self.world.users.found_organization(user_id, f"org-{len(self.orgs)}", "x")
                self.orgs.append(org.id)
                self.roles[org.id, user_id] = Role.OWNER
            self.done.add(action)
            got = None
        except AlloydError as error:
            got = error.code
            self.done.add(f"{action}: {got}")
        assert got is expected, (action, held, role, caller.role)

    def refusal(self, caller: Principal, held: Role | None, wanted: Role, *, last: bool) -> Code | None:
        if held is None:
            return Code.NOT_FOUND
        if not (caller.role.includes(held) and caller.role.includes(wanted)):
            return Code.FORBIDDEN
        return Code.CONFLICT if last else None

    async def check(self) -> None:
        for user_id in self.users:
            principal = await self.world.sessions.authenticate(self.tokens[user_id])
            assert principal is not None
            known = {standing.org_id: standing.role for standing in principal.standings}
            assert known == {org: role for (org, user), role in self.roles.items() if user == user_id}
            assert principal.org_id in {*known, ""}
            assert (principal.org_id == "") == (not known)
            if known:
                assert principal.role is known[principal.org_id]
        for org_id in self.orgs:
            assert self.owners(org_id)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_walk(tmp_path: Path, seed: int) -> None:
    async with open_world(tmp_path) as world:
        walk = Walk(world, random.Random(seed))
        await walk.begin()
        await walk.check()
        for _ in range(STEPS):
            world.clock.advance(walk.rng.randrange(3))
            await walk.step()
            await walk.check()
        assert {"add", "set", "expel", "sign out", "found", "set: forbidden"} <= walk.done
        assert walk.done & {"set: conflict", "expel: conflict"}
        stored = await world.database.read(
            lambda conn: {
                (org, user): found.role
                for org in walk.orgs
                for user in walk.users
                if (found := door.find_membership(conn, org, user)) is not None
            }
        )
        assert stored == walk.roles
