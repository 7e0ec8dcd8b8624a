"""alloyd/docs/cli.md against the commands."""

from __future__ import annotations

from alloyd.cli.reference import DOCS_FILE, render


def test_the_document_is_up_to_date():
    assert DOCS_FILE.read_text(encoding="utf-8") == render(), "run: python -m alloyd.cli.reference"


def test_every_option_has_its_meaning():
    rows = [line for line in render().splitlines() if line.startswith("| `")]
    assert rows
    assert [row for row in rows if row.split("|")[2].strip() == ""] == []
