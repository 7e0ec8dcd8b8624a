"""The master key: made once, recognised, never replaced behind a database's back."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from alloyd.errors import AlloydError, Code
from alloyd.process.keyring import MASTER_FILE, Keyring


def test_the_same_keys_at_every_start(tmp_path: Path) -> None:
    first = Keyring.open(tmp_path, None)
    again = Keyring.open(tmp_path, first.fingerprint)
    assert again.secret("jwt") == first.secret("jwt")
    assert len(first.secret("jwt")) == 32
    assert first.secret("jwt") != first.secret("other")


def test_another_installation_has_other_keys(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = Keyring.open(tmp_path / "a", None), Keyring.open(tmp_path / "b", None)
    assert one.secret("jwt") != two.secret("jwt")
    assert one.fingerprint != two.fingerprint


def test_only_the_owner_reads_it_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / f"{MASTER_FILE}.new").write_text("cut off")
    Keyring.open(tmp_path, None)
    assert [path.name for path in tmp_path.iterdir()] == [MASTER_FILE]
    assert stat.S_IMODE((tmp_path / MASTER_FILE).stat().st_mode) == 0o600


def test_a_missing_key_is_never_replaced(tmp_path: Path) -> None:
    fingerprint = Keyring.open(tmp_path, None).fingerprint
    (tmp_path / MASTER_FILE).unlink()
    with pytest.raises(AlloydError, match="missing") as raised:
        Keyring.open(tmp_path, fingerprint)
    assert raised.value.code is Code.CONFLICT
    assert list(tmp_path.iterdir()) == []


def test_another_key_is_refused(tmp_path: Path) -> None:
    Keyring.open(tmp_path, None)
    with pytest.raises(AlloydError, match="not the key"):
        Keyring.open(tmp_path, "0" * 64)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"QUJD\n", b"!" * 44, b"\xff\xfe"])
def test_a_damaged_key_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MASTER_FILE).write_bytes(content)
    with pytest.raises(AlloydError, match="damaged"):
        Keyring.open(tmp_path, None)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"A" * 44)
    (tmp_path / MASTER_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AlloydError, match="can't be read"):
        Keyring.open(tmp_path, None)


def test_it_does_not_show_itself(tmp_path: Path) -> None:
    assert repr(Keyring.open(tmp_path, None)) == "Keyring(...)"
