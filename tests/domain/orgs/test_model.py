from __future__ import annotations

import pytest

from alloyd.domain.orgs.model import RESERVED_SLUGS, check_name, check_slug
from alloyd.errors import AlloydError, Code

# Always the same: parallel workers compare the tests' names.
SOME_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.mark.parametrize("slug", ["ab", "a1", "1a", "acme-corp", "a--b", "a" * 63, "default"])
def test_slug(slug: str) -> None:
    assert check_slug(slug) == slug


@pytest.mark.parametrize(
    "slug",
    ["", "a", "-ab", "ab-", "A-b", "a b", "a_b", "a.b", "ab\n", "ä-b", "a" * 64, SOME_ID, *sorted(RESERVED_SLUGS)],
)
def test_refused_slug(slug: str) -> None:
    with pytest.raises(AlloydError) as caught:
        check_slug(slug)
    assert (caught.value.code, caught.value.field) == (Code.BAD_REQUEST, "slug")


@pytest.mark.parametrize("name", ["", " ", "a\x00", "x" * 201])
def test_refused_name(name: str) -> None:
    with pytest.raises(AlloydError) as caught:
        check_name(name)
    assert (caught.value.code, caught.value.field) == (Code.BAD_REQUEST, "name")
