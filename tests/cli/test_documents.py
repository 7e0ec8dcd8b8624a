"""Documents in files: YAML without its traps, JSON, places of faults, and back again."""

from __future__ import annotations

import pytest

from alloyd.cli import documents
from alloyd.cli.documents import read_documents, to_yaml
from alloyd.cli.errors import Refused


@pytest.fixture
def read(tmp_path):
    def from_text(text: str | bytes, name: str = "a.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_documents(str(path))

    return from_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", 1),
        ("a: -12", -12),
        ("a: 1.5", 1.5),
        ("a: 1e3", 1000.0),
        ("a: true", True),
        ("a: null", None),
        ("a:", None),
        ("a: on", "on"),
        ("a: no", "no"),
        ("a: 0755", "0755"),
        ("a: 1:30", "1:30"),
        ("a: 2026-01-01", "2026-01-01"),
        ("a: '1'", "1"),
        ("a: .inf", ".inf"),
        ("a: [1, x]", [1, "x"]),
        ("a: |\n  two\n  lines\n", "two\nlines\n"),
        ("b: &x [1]\na: *x", [1]),
    ],
)
def test_scalars_are_those_of_json(read, text, value):
    (document,) = read(text)
    assert document.value["a"] == value
    assert type(document.value["a"]) is type(value)


@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
@pytest.mark.parametrize("deep", [66, 3000])
def test_json_that_is_nested_too_deep_is_refused(read, name, deep):
    with pytest.raises(Refused, match="nested deeper than 64 levels"):
        read("[" * deep + "]" * deep, name)


def test_a_key_is_always_text(read):
    (document,) = read("on: 1\n2: x\nnull: y\n")
    assert document.value == {"on": 1, "2": "x", "null": "y"}


def test_several_documents_and_their_lines(read, tmp_path):
    first, second = read("name: a\n---\nname: b\nnodes:\n  - key: x\n    config:\n      y: 1\n")
    file = str(tmp_path / "a.yaml")
    assert (first.name, second.name) == ("a", "b")
    assert second.place("nodes[0].config.y") == f"{file}:7"
    assert second.place("nodes[0].config.z.deeper[3]") == f"{file}:6"
    assert second.place("nothing") == second.place() == f"{file}:3"


@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_json_is_read_as_json(read, tmp_path, name):
    (document,) = read('\t{"name": "\\ud83d\\ude00", "a": 2026}', name)
    assert document.value == {"name": "😀", "a": 2026}
    assert document.place("a") == str(tmp_path / name)
    assert [one.value for one in read('[{"a": 1}, {"a": 2}]', name)] == [{"a": 1}, {"a": 2}]


def test_a_flow_mapping_is_no_json_and_still_read(read):
    assert read("{a: 1, b: x}")[0].value == {"a": 1, "b": "x"}


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "a.yaml:1: not YAML"),
        ("a: 1\nb: 2\na: 3\n", "a.yaml:3: a: given twice"),
        ("- 1\n", "a.yaml:1: a mapping"),
        ("a: !!python/object:os.system x", "tags"),
        ("a: !own x", "tags"),
        ("? [1]\n: 2\n", "a key has to be plain text"),
        ("a: &x\n  b: *x\n", "nested deeper"),
        ("a: " + "[" * 100 + "]" * 100, "nested deeper"),
        ("a: " + "[" * 100_000, "nested deeper"),
        (BOMB, "more than"),
        ("a: \x07", "a control character"),
        (b"a: 1\nb: \xff", "a.yaml:2: not UTF-8"),
        ("", "holds nothing"),
    ],
)
def test_faults(read, text, said):
    with pytest.raises(Refused) as caught:
        read(text)
    assert said in caught.value.message


def test_faults_of_files(read, tmp_path, monkeypatch):
    with pytest.raises(Refused, match="not JSON"):
        read("{a: 1}", "a.json")
    with pytest.raises(Refused, match="cannot be read"):
        read_documents(str(tmp_path / "none"))
    monkeypatch.setattr(documents, "FILE_BYTES_MAX", 3)
    with pytest.raises(Refused, match="larger than 3"):
        read("a: 12")


@pytest.mark.parametrize(
    "value",
    [
        {"on": "yes", "n": "null", "d": "2026-01-01", "t": "1:30", "o": "0755", "e": ""},
        {"i": 1, "f": 1e20, "g": 0.5, "b": True, "z": None, "l": [], "m": {}},
        {"evil": "\x1b]0;x\x07 \u202e \x9b \x7f \U000e0001 end", "key\x1b": 1},
        {"lines": "a\nb\n", "tabs": "a\tb", "quote": "'\"\\ # : - {{ x }}"},
        {"same": [{"a": 1}, {"a": 1}], "ü": "ü😀"},
    ],
)
def test_yaml_goes_there_and_back(read, value):
    shared = value["same"][0] if "same" in value else None
    if shared is not None:
        value = {**value, "same": [shared, shared]}
    text = to_yaml(value)
    assert read(text)[0].value == value
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "&" not in text
