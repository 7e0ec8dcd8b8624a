"""`alloyd backup` and `alloyd restore`."""

from __future__ import annotations

from pathlib import Path

from alloyd.process.datadir import DataDir


def test_backup_and_restore(alloyd, run, tmp_path):
    alloyd("storage", "put", "-", "kept/a.txt", stdin=b"kept")
    file = tmp_path / "a.backup"
    made = alloyd("backup", "--verify", str(file), "--json").json
    assert (made["path"], made["verified"], made["damaged"]) == (str(file), True, [])
    assert file.stat().st_size == made["size_bytes"]
    assert "conflict" in alloyd("backup", str(file), code=1).err
    assert "SHA-256" in alloyd("backup", str(tmp_path / "b.backup")).out
    new = tmp_path / "new" / "data"
    at = ("--data-dir", str(new))
    assert f"restored {new}" in run("restore", str(file), *at).out
    assert run("storage", "get", "kept/a.txt", "-", *at).out == "kept"
    run("storage", "rm", "kept/a.txt", *at)
    said = run("restore", str(file), *at).out
    assert "before-restore" in said
    assert run("storage", "get", "kept/a.txt", "-", *at).out == "kept"
    before = Path(said.splitlines()[1].partition(" in ")[2])
    shorter = before.rename(tmp_path / "before")  # a socket's path is short
    assert "not_found" in run("storage", "get", "kept/a.txt", "-", "--data-dir", str(shorter), code=1).err


def test_a_damaged_backup_changes_nothing(run, tmp_path):
    at = ("--data-dir", str(tmp_path / "data"))
    run("init", *at)
    file = tmp_path / "a.backup"
    run("backup", str(file), *at)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert "unprocessable" in run("restore", str(file), *at, code=1).err
    assert "unprocessable" in run("restore", str(file), "--data-dir", str(tmp_path / "other"), code=1).err
    assert not (tmp_path / "other").exists()
    assert run("org", "list", *at, "--json").json
    run("restore", str(tmp_path / "none"), *at, code=2)


def test_restore_beside_a_daemon_is_refused(run, tmp_path):
    run("init", "--data-dir", str(tmp_path / "data"))
    file = tmp_path / "a.backup"
    run("backup", str(file), "--data-dir", str(tmp_path / "data"))
    with DataDir(tmp_path / "data") as owner:
        owner.lock("serve")
        assert "in use" in run("restore", str(file), "--data-dir", str(owner.root), code=1).err
