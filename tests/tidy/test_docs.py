"""Documents against the code: opening lines, settings, links, make targets."""

from __future__ import annotations

import ast
import re

import pytest

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")
_TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
_LINE_MAX = 130


def opening_faults(source) -> list[str]:
    """A module opens with one line that says what it holds."""
    first, *_ = (ast.get_docstring(source.tree) or "").splitlines() or [""]
    if not first.strip():
        return [f"{source.module}: no docstring"]
    if not first.rstrip().endswith(".") or len(first) > _LINE_MAX:
        return [f"{source.module}: the first line is not one sentence: {first}"]
    return []


def link_faults(name: str, text: str, exists) -> list[str]:
    """Links to files that are not there; ``exists(path from the document)`` says what is."""
    found = []
    for target in _LINK.findall(_CODE.sub("", text)):
        path = target.partition("#")[0]
        if path and "://" not in path and not path.startswith("mailto:") and not exists(path):
            found.append(f"{name}: {target} leads nowhere")
    return found


def make_faults(text: str, makefile: str) -> list[str]:
    """Make targets that a document names and the Makefile lacks."""
    targets = set(_TARGET.findall(makefile))
    named = {word for code in _CODE.findall(text) for word in _MAKE.findall(code)}
    return sorted(named - targets)


def documents(root) -> list:
    return [*root.glob("*.md"), *(root / "alloyd" / "docs").rglob("*.md")]


def test_every_module_opens_with_its_line(sources):
    faults = [fault for source in sources for fault in opening_faults(source)]
    assert not faults, "\n".join(faults)


def test_links_lead_somewhere(root):
    faults = []
    for path in documents(root):
        name = str(path.relative_to(root))
        faults += link_faults(name, path.read_text(), lambda target, path=path: (path.parent / target).exists())
    assert not faults, "\n".join(faults)


def test_readme_names_only_targets_that_exist(root):
    readme = root / "README.md"
    if not readme.exists():
        pytest.skip("no README yet")
    assert make_faults(readme.read_text(), (root / "Makefile").read_text()) == []


def test_every_setting_is_documented(root):
    from alloyd.config.fields import fields_of
    from alloyd.config.model import Config

    example = (root / "config.example.yaml").read_text()
    page = (root / "alloyd" / "docs" / "config.md").read_text()
    settings = [(group, name) for group, names in fields_of(Config).items() for name in names]
    assert settings
    for group, name in settings:
        assert re.search(rf"^{group}:$", example, re.MULTILINE)
        assert re.search(rf"^  {name}:", example, re.MULTILINE), name
        assert f"## `{group}`" in page
        assert f"| `{name}` |" in page


@pytest.mark.parametrize("text", ["", "x = 1", "'''No end'''", "'''One thing\nand another.'''"])
def test_opening_check_sees_a_fault(text, sample):
    assert opening_faults(sample("alloyd.app", text))


def test_link_check_sees_a_fault():
    text = "[a](gone.md) [b](here.md#x) [c](https://example.com) [d](#below) `[e](code.md)`"
    assert link_faults("README.md", text, lambda path: path == "here.md") == ["README.md: gone.md leads nowhere"]


def test_make_check_sees_a_fault():
    text = "Say `make run` or\n```\nmake frobnicate\n```\nand make sure."
    assert make_faults(text, "run: x\n\ttrue\n") == ["frobnicate"]
