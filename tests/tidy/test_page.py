"""The web page's files: all listed, each import found, and nothing in them by which text could become markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from alloyd.wire.ui.files import FILES

UI = Path(__file__).resolve().parents[2] / "alloyd" / "ui"
MODULES = sorted((UI / "js").rglob("*.js"))
LINES_MAX = 500

# What makes markup or code of text, or needs a hole in the policy.
FORBIDDEN = {
    "innerHTML": r"\binnerHTML\b",
    "outerHTML": r"\bouterHTML\b",
    "insertAdjacentHTML": r"\binsertAdjacentHTML\b",
    "setHTML": r"\bsetHTML\w*\b",
    "document.write": r"\bdocument\.write\w*",
    "createContextualFragment": r"\bcreateContextualFragment\b",
    "DOMParser": r"\bDOMParser\b",
    "srcdoc": r"\.srcdoc\b",
    "eval": r"\beval\s*\(",
    "new Function": r"\bnew\s+Function\b",
    "a timer with text": r"\bset(?:Timeout|Interval)\s*\(\s*[\"'`]",
    "javascript:": r"javascript:",
    "a style attribute": r"setAttribute\(\s*[\"']style",
    "cssText": r"\bcssText\b",
    "another host": r"[\"'`(]https?://(?!www\.w3\.org/|(?:[\w-]+\.)*example\.(?:com|org)\b)",
}
# Where a word is named that is refused there, and why.
ALLOWED: set[tuple[str, str]] = set()


def faults_of(name: str, text: str) -> Iterator[str]:
    for what, pattern in FORBIDDEN.items():
        for match in re.finditer(pattern, text):
            if (name, what) not in ALLOWED:
                yield f"{name}, line {text.count(chr(10), 0, match.start()) + 1}: {what}"


def html_faults(text: str) -> Iterator[str]:
    """What the policy would refuse in an HTML file."""
    for tag in re.findall(r"<[a-zA-Z][^>]*>", text):
        if re.search(r"\s(?:on\w+|style)\s*=", tag):
            yield f"an attribute with code or style: {tag}"
    for match in re.finditer(r"<script\b([^>]*)>(.*?)</script>", text, re.DOTALL):
        if "src=" not in match[1] or match[2].strip():
            yield f"an inline script: {match[0][:80]}"
    if re.search(r"<style\b", text):
        yield "an inline style sheet"


def test_each_file_is_listed_and_each_listed_one_is_there():
    there = {str(path.relative_to(UI)) for path in UI.rglob("*") if path.is_file()}
    assert sorted(FILES) == sorted(set(FILES)), "listed twice"
    assert set(FILES) == there


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(UI)))
def test_no_text_becomes_markup_or_code(path):
    assert list(faults_of(str(path.relative_to(UI)), path.read_text())) == []


def imports_of(path: Path) -> list[str]:
    """What a module imports, also what it imports later."""
    pattern = r'(?:^(?:import|export)\b[^;]*?\bfrom |^import |\bimport\()"([^"]+)"'
    return re.findall(pattern, path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(UI)))
def test_each_import_is_found(path):
    for target in imports_of(path):
        assert target.startswith("."), f"{target}: only the page's own files"
        assert (path.parent / target).resolve().is_file(), f"{path.name}: {target}"


def test_no_module_imports_itself_through_others():
    graph = {path: [(path.parent / target).resolve() for target in imports_of(path)] for path in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(path.name for path in error.args[1]))


def test_only_the_beginning_imports_the_table_of_pages():
    assert [path.name for path in MODULES if any(target.endswith("/pages.js") for target in imports_of(path))] == [
        "app.js"
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(UI)))
def test_modules_are_small_and_say_what_they_hold(path):
    text = path.read_text()
    assert text.startswith("// "), "the first line says what the module holds"
    assert text.count("\n") <= LINES_MAX


def test_no_class_is_told_what_it_looks_like_in_two_places():
    """Or what one page's part is called hides another's: a chart's bar is not the bar of a phone."""
    homes: dict[str, set[str]] = {}
    for path in UI.rglob("*.css"):
        for name in re.findall(r"^\.([\w-]+) \{", path.read_text(), re.MULTILINE):
            homes.setdefault(name, set()).add(path.name)
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def test_html_has_nothing_inline():
    for path in UI.rglob("*.html"):
        assert list(html_faults(path.read_text())) == []


def test_each_icon_that_is_named_is_drawn():
    drawn = set(re.findall(r'<symbol id="([\w-]+)"', (UI / "icons.svg").read_text()))
    for path in MODULES:
        named = re.findall(r"""\bicon(?:\(|:)\s*["']([\w-]+)["']""", path.read_text())
        assert set(named) <= drawn, path.name


def test_each_page_is_in_the_table():
    table = (UI / "js" / "pages.js").read_text()
    pages = {path.name for path in (UI / "js" / "pages").glob("*.js")}
    assert set(re.findall(r'import\("\./pages/([\w.-]+)"\)', table)) == pages


@pytest.mark.parametrize(
    "text",
    [
        "node.innerHTML = text",
        "node.insertAdjacentHTML('beforeend', text)",
        "eval(text)",
        "new Function(text)",
        "setTimeout('x()', 1)",
        "node.setAttribute('style', x)",
        'fetch("https://cdn.elsewhere.net/x.js")',
    ],
)
def test_check_sees_a_fault(text):
    assert list(faults_of("x.js", text))


@pytest.mark.parametrize(
    "text",
    ['<p style="x">', '<a onclick="x()">', "<script>x()</script>", "<style>a{}</style>", "<script src=x>y</script>"],
)
def test_html_check_sees_a_fault(text):
    assert list(html_faults(text))


def test_checks_let_good_files_pass():
    assert list(faults_of("x.js", 'node.append(text); fetch("/ui/v1/me"); s("http://www.w3.org/2000/svg")')) == []
    assert list(html_faults('<p class="x"><script type="module" src="/page/js/app.js"></script>')) == []
