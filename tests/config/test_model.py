"""The declared settings: every one is documented, bounded, and possible as it stands."""

from __future__ import annotations

import pytest
import yaml

from alloyd.config import Config, load_config
from alloyd.config.contradictions import contradictions
from alloyd.config.docs import DOCS_FILE, EXAMPLE_FILE, render_config_docs, render_example, write_files
from alloyd.config.fields import Field, fields_of
from alloyd.config.objects import ObjectsConfig
from alloyd.config.secret import Secret

FIELDS = [field for names in fields_of(Config).values() for field in names.values()]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.key)
def test_a_setting_says_what_it_means_and_its_default_is_one_it_takes(field: Field) -> None:
    assert field.meaning.endswith(".")
    if field.default is not None:
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        assert load_config(None, {}, {field.key: default}).sources == {field.key: f"flag {field.key}"}


@pytest.mark.parametrize("field", [f for f in FIELDS if f.bounds], ids=lambda field: field.key)
def test_a_number_ends_in_its_unit_or_in_max_or_counts_something(field: Field) -> None:
    endings = {
        "bytes": ("_bytes", "_bytes_max", "_bytes_min"),
        "seconds": ("_s", "_s_max"),
        "milliseconds": ("_ms",),
        "days": ("_days",),
        "hours": ("_hours",),
    }
    assert field.name.endswith(endings.get(field.unit, field.name))


def test_the_defaults_do_not_contradict_each_other() -> None:
    assert contradictions(Config()) == []


def test_no_files_and_no_environment_give_the_defaults() -> None:
    assert load_config(None, {}, {}) == Config()


def test_the_example_is_up_to_date() -> None:
    assert EXAMPLE_FILE.read_text(encoding="utf-8") == render_example()


def test_the_docs_are_up_to_date() -> None:
    assert DOCS_FILE.read_text(encoding="utf-8") == render_config_docs()


def test_the_example_is_a_configuration_that_changes_nothing() -> None:
    config = load_config(EXAMPLE_FILE, {}, {})
    for field in FIELDS:
        assert getattr(getattr(config, field.group), field.name) == field.default
        assert config.sources[field.key].startswith(f"{EXAMPLE_FILE}:")


def test_each_key_of_the_example_has_a_comment_above_it() -> None:
    lines = EXAMPLE_FILE.read_text(encoding="utf-8").splitlines()
    keys = [n for n, line in enumerate(lines) if line and not line.lstrip().startswith("#")]
    assert len(keys) == len(FIELDS) + len(fields_of(Config))
    assert all(lines[n - 1].lstrip().startswith("# ") for n in keys)
    assert yaml.safe_load("\n".join(lines)).keys() == fields_of(Config).keys()


def test_each_key_is_in_the_docs() -> None:
    text = DOCS_FILE.read_text(encoding="utf-8")
    for group, names in fields_of(Config).items():
        section = text.partition(f"## `{group}`")[2].partition("\n## ")[0]
        assert [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")] == list(names)


def test_writing_the_files_writes_both(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("alloyd.config.docs.EXAMPLE_FILE", tmp_path / "example.yaml")
    monkeypatch.setattr("alloyd.config.docs.DOCS_FILE", tmp_path / "docs" / "config.md")
    write_files()
    assert (tmp_path / "example.yaml").read_text(encoding="utf-8") == render_example()
    assert (tmp_path / "docs" / "config.md").read_text(encoding="utf-8") == render_config_docs()


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ({"backend": "s3"}, [("objects.backend", "objects.s3_bucket")]),
        ({"s3_bucket": "b"}, []),
        ({"backend": "s3", "s3_bucket": "b"}, []),
        ({"s3_access_key": "a"}, [("objects.s3_access_key", "objects.s3_secret_key")]),
        ({"s3_secret_key": Secret("s")}, [("objects.s3_access_key", "objects.s3_secret_key")]),
        ({"s3_access_key": "a", "s3_secret_key": Secret("s")}, []),
        ({"s3_endpoint": "http://s3"}, [("objects.s3_endpoint", "objects.s3_allow_http")]),
        ({"s3_endpoint": "http://s3", "s3_allow_http": True}, []),
        ({"s3_endpoint": "https://s3"}, []),
    ],
)
def test_settings_of_objects_that_contradict_each_other(given, keys):
    found = contradictions(Config(objects=ObjectsConfig(**given)))
    assert [fault[0] for fault in found] == keys
