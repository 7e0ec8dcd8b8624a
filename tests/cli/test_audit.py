"""`alloyd audit`: the trail listed and checked, beside a daemon and without one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest


def test_list(alloyd, org):
    made = alloyd("key", "create", "--org", org, "--name", "ci", "--json").json
    rows = alloyd("audit", "list", "--org", org, "--json").json
    assert [row["action"] for row in rows] == ["api_key.create", "organization.create"]
    assert rows[0]["actor"] == {"id": "operator", "kind": "operator"}
    assert rows[0]["target"] == f"api_key:{made['id']}"
    assert rows[0]["ip"] == "local"
    assert alloyd("audit", "list", "--org", org, "--action", "api_key.*", "--json").json == rows[:1]
    assert alloyd("audit", "list", "--target", rows[0]["target"], "--json").json == rows[:1]
    assert alloyd("audit", "list", "--org", org, "--since", "1h", "--limit", "1", "--json").json == rows[:1]
    assert alloyd("audit", "list", "--org", org, "--actor", "nobody", "--outcome", "refused", "--json").json == []
    shown = alloyd("audit", "list", "--org", org).out
    assert "operator operator" in shown
    assert rows[0]["target"] in shown
    assert made["key"] not in shown
    assert "not_found" in alloyd("audit", "list", "--org", "no-such-org", code=1).err
    assert "outcome" in alloyd("audit", "list", "--outcome", "odd", code=2).err


def test_the_whole_log_goes_over_pages(alloyd, org):
    for number in range(3):
        alloyd("key", "create", "--org", org, "--name", f"k{number}")
    seqs = [row["seq"] for row in alloyd("audit", "list", "--limit", "150", "--json").json]
    assert seqs[:4] == list(range(seqs[0], seqs[0] - 4, -1))


def test_verify(alloyd, org):
    told = alloyd("audit", "verify", "--json").json
    assert told["whole"] is True
    assert told["checked"] == told["last_seq"] > 0
    noted = f"{told['last_seq']}:{told['last_hash']}"
    alloyd("key", "create", "--org", org, "--name", "later")
    out = alloyd("audit", "verify", "--noted", noted).out
    assert out.startswith(f"{told['checked'] + 1} rows are whole\nnewest row  {told['last_seq'] + 1}:")
    assert "noted" in alloyd("audit", "verify", "--noted", "7", code=2).err
    other = f"{told['last_seq']}:{'0' * 64}"
    assert "another hash" in alloyd("audit", "verify", "--noted", other, code=1).out


@pytest.fixture
def tampered(run, tmp_path: Path) -> str:
    """A data directory in whose database somebody changed a row."""
    data_dir = str(tmp_path / "data")
    run("init", "--data-dir", data_dir)
    for number in range(3):
        run("--data-dir", data_dir, "key", "create", "--name", f"k{number}")
    assert run("--data-dir", data_dir, "audit", "verify").out.startswith("5 rows are whole")
    with closing(sqlite3.connect(tmp_path / "data" / "alloyd.db")) as conn:
        conn.execute("DROP TRIGGER audit_log_stays")
        conn.execute("UPDATE audit_log SET actor_id = 'somebody' WHERE seq = 4")
        conn.commit()
    return data_dir


def test_verify_names_the_first_bad_row(run, tampered):
    result = run("--data-dir", tampered, "audit", "verify", code=1)
    assert result.out == "row 4: the row, or its place in the chain, was changed; 3 rows before it are whole\n"
    told = run("--data-dir", tampered, "audit", "verify", "--json", code=1).json
    assert (told["whole"], told["bad_seq"]) == (False, 4)


def test_verify_beside_a_running_daemon(run, start, tampered):
    daemon = start(Path(tampered))
    assert run("--data-dir", tampered, "audit", "verify", code=1).out.startswith("row 4: ")
    assert daemon.stop() == 0


def test_verify_without_a_database(run, tmp_path):
    assert "not_found" in run("--data-dir", str(tmp_path / "none"), "audit", "verify", code=1).err
