"""`alloyd init` and `alloyd migrate`."""

from __future__ import annotations

import sqlite3
import stat

from alloyd.config import load_config
from alloyd.db.migrate import SCHEMA_VERSION
from alloyd.process.datadir import DataDir


def test_init_makes_everything_once(run, tmp_path):
    data, config = tmp_path / "data", tmp_path / "etc" / "config.yaml"
    said = run("init", "--data-dir", str(data), "--config", str(config))
    assert said.out.startswith("owner key: alloy_")
    assert len(said.out.splitlines()) == 1
    assert f"wrote {config}" in said.err
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert load_config(config, {}, {}).data.dir == str(data)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "alloyd.db").stat().st_mode) == 0o600
    listed = run("workflow", "list", "--config", str(config), "--json").json
    assert [workflow["name"] for workflow in listed] == ["hello"]
    written = config.read_text()
    again = run("init", "--data-dir", str(data), "--config", str(config))
    assert "nothing changed" in again.out
    assert "alloy_" not in again.out + again.err
    assert config.read_text() == written


def test_init_as_json(run, tmp_path):
    at = ("--data-dir", str(tmp_path / "data"), "--json")
    made = run("init", *at).json
    assert made["created"]
    assert made["owner"]["key"].startswith("alloy_")
    assert run("init", *at).json == {"data_dir": str(tmp_path / "data"), "created": False, "owner": None}


def test_init_where_nothing_can_be_made(run, tmp_path):
    (tmp_path / "file").write_text("")
    assert "unavailable" in run("init", "--data-dir", str(tmp_path / "file" / "data"), code=1).err
    config = tmp_path / "file" / "config.yaml"
    said = run("init", "--data-dir", str(tmp_path / "data"), "--config", str(config), code=1)
    assert "cannot be written" in said.err
    assert not (tmp_path / "data").exists()


def test_an_initialisation_that_broke_off_still_tells_its_key(run, tmp_path):
    data_dir = DataDir(tmp_path / "data")
    data_dir.prepare()
    sqlite3.connect(data_dir.database).close()
    data_dir.database.touch()
    said = run("org", "list", "--data-dir", str(data_dir.root), "--json")
    assert len(said.json) == 1
    assert "owner key: alloy_" in said.err


def test_migrate(run, tmp_path):
    data_dir = DataDir(tmp_path / "data")
    at = ("--data-dir", str(data_dir.root))
    assert "no database" in run("migrate", *at, code=1).err
    data_dir.prepare()
    data_dir.database.touch()
    assert "would apply 0001" in run("migrate", "--dry-run", *at).out
    assert data_dir.database.stat().st_size == 0
    assert "applied 0001" in run("migrate", *at).out
    for dry in ((), ("--dry-run",)):
        assert f"schema {SCHEMA_VERSION}" in run("migrate", *dry, *at).out
    conn = sqlite3.connect(data_dir.database)
    conn.execute("PRAGMA user_version=999")
    conn.close()
    assert "newer program" in run("migrate", "--dry-run", *at, code=1).err
