"""Users who signed in, for tests over the whole program."""

from __future__ import annotations

from dataclasses import dataclass

from alloyd.domain.users.model import User
from alloyd.domain.users.service import CreateUser
from alloyd.principal import Role
from tests.app import Served

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Person:
    """A user; ``name`` is what ``Served.ask`` takes as ``key``."""

    name: str
    user: User

    @property
    def id(self) -> str:
        return self.user.id


async def sign_in(served: Served, name: str, *places: str) -> Person:
    """A user ``<name>@example.com``, a member of each place as ``acme admin`` says; their token, which
    is of the first place, is kept as a key."""
    await served.key("nowhere")
    email = f"{name}@example.com"
    user = await served.app.users.create(CreateUser(email, PASSWORD, "nowhere", Role.VIEWER))
    for place in places:
        slug, _, role = place.partition(" ")
        await served.key(slug)
        org_id, wanted = served.orgs[slug], Role(role or "member")
        await served.app.database.write(
            lambda tx, org_id=org_id, wanted=wanted: served.app.users.members.add(tx, org_id, user.id, wanted)  # type: ignore[misc]
        )
    await served.app.database.write(lambda tx: served.app.users.members.remove(tx, served.orgs["nowhere"], user.id))
    served.keys[name] = (
        await served.app.sessions.issue(user.id, places[0].partition(" ")[0] if places else None, None)
    ).token
    return Person(name, user)
