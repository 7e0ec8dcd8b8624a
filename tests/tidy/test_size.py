"""Files and functions stay small enough to be read at one go."""

from __future__ import annotations

from collections.abc import Mapping

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70

# What may be longer, by module or function, and why.
LONGER: Mapping[str, str] = {
    "alloyd.wire.private.storage.routes": "a table of routes",
    "tests.egress.test_client": "one client, one set of servers to try it on",
}


def size_faults(source, allowed: Mapping[str, str]) -> list[str]:
    faults = []
    lines = source.text.count("\n")
    if lines > FILE_LINES_MAX and source.module not in allowed:
        faults.append(f"{source.module}: {lines} lines")
    for name, function in source.functions():
        lines = (function.end_lineno or 0) - function.lineno + 1
        if lines > FUNCTION_LINES_MAX and f"{source.module}.{name}" not in allowed:
            faults.append(f"{source.module}.{name}: {lines} lines")
    return faults


def test_sizes(sources, test_sources):
    faults = [fault for source in [*sources, *test_sources] for fault in size_faults(source, LONGER)]
    assert not faults, "\n".join(faults)


def test_no_exception_is_left_over(sources, test_sources):
    needed = {fault.partition(":")[0] for source in [*sources, *test_sources] for fault in size_faults(source, {})}
    assert set(LONGER) <= needed


def test_size_check_sees_a_long_file(sample):
    assert size_faults(sample("alloyd.app", "x = 1\n" * (FILE_LINES_MAX + 1)), {})
    assert size_faults(sample("alloyd.app", "x = 1\n" * FILE_LINES_MAX), {}) == []


def test_size_check_sees_a_long_function(sample):
    body = "        x = 1\n" * FUNCTION_LINES_MAX
    assert size_faults(sample("alloyd.app", f"class A:\n    async def f(self):\n{body}"), {})
    assert size_faults(sample("alloyd.app", f"class A:\n    async def f(self):\n{body[:-14]}"), {}) == []
