"""docs/authorization.md against the table of actions."""

from __future__ import annotations

import re
from pathlib import Path

from alloyd.domain.authz.model import GRANTS_PER_PRINCIPAL_MAX
from alloyd.principal import ACTIONS, OWNERS_OWN

TEXT = (Path(__file__).parents[3] / "alloyd" / "docs" / "authorization.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `([a-z_]+\.[a-z_]+)` \| (\w+) \| `([\w:]+)` \|$", re.MULTILINE)


def test_every_action_is_documented_as_it_is() -> None:
    rows = _ROW.findall(TEXT)
    assert rows == [(action, rule.role.value, rule.scope) for action, rule in sorted(ACTIONS.items())]


def test_what_owners_keep_is_documented() -> None:
    kept = re.search(r"\*\*Owners\*\* always keep ([^:]+):", TEXT)
    assert kept
    assert set(re.findall(r"`(\w+)\.\*`", kept[1])) == OWNERS_OWN
    assert f"At most {GRANTS_PER_PRINCIPAL_MAX} for each principal" in TEXT
