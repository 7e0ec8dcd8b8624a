"""The project's sources, read once, for the tests of the house rules."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {"__pycache__", ".git", ".venv", "build", "dist", "data", "node_modules"}


@dataclass(frozen=True)
class Source:
    """A Python module: its dotted name, text and syntax tree."""

    module: str
    text: str
    tree: ast.Module

    def functions(self) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
        """Every function with its dotted name inside the module."""
        yield from _functions(self.tree, "")


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, child
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, prefix)


def files_of(room: Path, pattern: str) -> list[Path]:
    return sorted(path for path in room.rglob(pattern) if path.is_file() and not SKIPPED & set(path.parts))


def source_of(path: Path) -> Source:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    text = path.read_text(encoding="utf-8")
    return Source(".".join(parts), text, ast.parse(text))


@pytest.fixture(scope="session")
def root() -> Path:
    """Where the project is."""
    return ROOT


@pytest.fixture(scope="session")
def sources() -> list[Source]:
    """Every module of the program."""
    return [source_of(path) for path in files_of(ROOT / "alloyd", "*.py")]


@pytest.fixture(scope="session")
def test_sources() -> list[Source]:
    """Every module of the tests."""
    return [source_of(path) for path in files_of(ROOT / "tests", "*.py")]


@pytest.fixture(scope="session")
def text_files() -> dict[str, str]:
    """Every text file that people wrote, by its path in the project; lock files are not."""
    found = {}
    for room in ("alloyd", "tests", "packaging", "systemd", ".ci"):
        for path in files_of(ROOT / room, "*"):
            try:
                found[str(path.relative_to(ROOT))] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
    for name in ("Makefile", "README.md", "pyproject.toml", "config.example.yaml"):
        if (ROOT / name).exists():
            found[name] = (ROOT / name).read_text(encoding="utf-8")
    return found


@pytest.fixture(scope="session")
def sample() -> Callable[[str, str], Source]:
    """Makes a module out of a snippet, to show that a check sees what it is for."""

    def make(module: str, text: str) -> Source:
        return Source(module, text, ast.parse(text))

    return make
