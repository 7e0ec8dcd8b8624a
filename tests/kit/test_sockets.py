"""Sockets in folders with long names."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from alloyd.kit.sockets import PATH_BYTES_MAX, reachable


@pytest.mark.parametrize("long", [False, True])
def test_bound_and_connected_to_whatever_the_length(tmp_path: Path, long: bool) -> None:
    folder = tmp_path / ("a" * 120 if long else "a")
    folder.mkdir()
    path = folder / "s"
    assert (len(str(path)) > PATH_BYTES_MAX) >= long
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(reachable(path))
        server.listen()
        assert path.is_socket()
        client.connect(reachable(path))


def test_a_folder_that_was_replaced_is_the_new_one(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 120)
    for _ in range(2):
        folder.mkdir()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(reachable(folder / "s"))
            assert (folder / "s").is_socket()
        shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError):
        reachable(folder / "s")
