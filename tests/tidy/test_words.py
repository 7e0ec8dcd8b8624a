"""Words that have no place here: notes to self, rooms without a name, sleeping tests, stray prints."""

from __future__ import annotations

import ast
import re

import pytest

# Put together, so that this file does not find itself.
_NOTES = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")) + r")\b")
_NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "stuff"}


def note_faults(name: str, text: str) -> list[str]:
    return [f"{name}:{number}" for number, line in enumerate(text.splitlines(), 1) if _NOTES.search(line)]


def name_faults(module: str) -> list[str]:
    return [f"{module}: say what it holds" for part in module.split(".") if part.strip("_") in _NAMELESS]


def sleep_faults(source) -> list[str]:
    """Calls of sleep; ``asyncio.sleep(0)`` only lets others run."""
    found = []
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("time.sleep", "asyncio.sleep", "sleep"):
            continue
        if [ast.unparse(argument) for argument in node.args] != ["0"]:
            found.append(f"{source.module}: sleeps in line {node.lineno}")
    return found


def print_faults(source) -> list[str]:
    if source.module.startswith("alloyd.cli"):
        return []
    return [
        f"{source.module}: prints in line {node.lineno}"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.stdout.write")
    ]


def test_no_notes_to_self(text_files):
    faults = [fault for name, text in text_files.items() for fault in note_faults(name, text)]
    assert not faults, "\n".join(faults)


def test_every_module_has_a_telling_name(sources, test_sources):
    faults = [fault for source in [*sources, *test_sources] for fault in name_faults(source.module)]
    assert not faults, "\n".join(faults)


def test_tests_do_not_sleep(test_sources):
    """Measuring is not testing: a load generator keeps its pace by the clock."""
    tests = [source for source in test_sources if not source.module.startswith(("tests.bench", "tests.load"))]
    faults = [fault for source in tests for fault in sleep_faults(source)]
    assert not faults, "\n".join(faults)


def test_only_the_command_line_prints(sources):
    faults = [fault for source in sources for fault in print_faults(source)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("word", ["TO" + "DO: later", "# FIX" + "ME", "(" + "X" * 3 + ")"])
def test_note_check_sees_a_fault(word):
    assert note_faults("a.py", f"x = 1\n{word}\n") == ["a.py:2"]


@pytest.mark.parametrize("module", ["alloyd.kit.utils", "alloyd.common.thing", "tests.helpers", "alloyd._util"])
def test_name_check_sees_a_fault(module):
    assert name_faults(module)


@pytest.mark.parametrize("text", ["import time\ntime.sleep(1)", "async def f():\n    await asyncio.sleep(0.1)"])
def test_sleep_check_sees_a_fault(text, sample):
    assert sleep_faults(sample("tests.x", text))


def test_sleep_check_lets_a_yield_pass(sample):
    assert sleep_faults(sample("tests.x", "async def f():\n    await asyncio.sleep(0)")) == []


@pytest.mark.parametrize("text", ["print('x')", "import sys\nsys.stdout.write('x')"])
def test_print_check_sees_a_fault(text, sample):
    assert print_faults(sample("alloyd.app", text))
    assert print_faults(sample("alloyd.cli.output", text)) == []
