"""The Debian package: what is in it, with which owner and mode, and what its scripts do."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tomllib

import pytest

FILES = {
    "./usr/bin/alloyd": "-rwxr-xr-x",
    "./lib/systemd/system/alloyd.service": "-rw-r--r--",
    "./etc/alloyd/config.yaml": "-rw-r-----",
    "./usr/share/doc/alloyd/copyright": "-rw-r--r--",
    "./usr/share/doc/alloyd/changelog.gz": "-rw-r--r--",
    "./usr/share/lintian/overrides/alloyd": "-rw-r--r--",
}


@pytest.fixture(scope="module")
def version(request):
    return tomllib.loads((request.config.rootpath / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture(scope="module")
def package(executable, version):
    found = sorted(executable.parent.glob(f"alloyd_{version}_*.deb"))
    if not found and not os.environ.get("CI"):
        pytest.skip("the Debian package is missing: `make package` makes it")
    (path,) = found
    return path


def deb(*arguments) -> str:
    return subprocess.run(["dpkg-deb", *map(str, arguments)], capture_output=True, text=True, check=True).stdout


def test_files_with_their_modes_belong_to_root(package):
    lines = [line.split() for line in deb("-c", package).splitlines()]
    assert {line[1] for line in lines} == {"root/root"}
    assert {line[5]: line[0] for line in lines if line[0].startswith("-")} == FILES


def test_description(package, version):
    assert deb("-f", package, "Package", "Version").split() == ["Package:", "alloyd", "Version:", version]
    libc = platform.libc_ver()[1]
    assert f"libc6 (>= {libc})" in deb("-f", package, "Depends")


def test_configuration_is_the_administrator_s(package, tmp_path):
    deb("-e", package, tmp_path)
    assert (tmp_path / "conffiles").read_text() == "/etc/alloyd/config.yaml\n"


def test_it_carries_the_built_executable_and_the_project_s_files(package, executable, tmp_path, request):
    deb("-x", package, tmp_path)
    root = request.config.rootpath
    pairs = {
        "usr/bin/alloyd": executable,
        "lib/systemd/system/alloyd.service": root / "systemd/alloyd.service",
        "etc/alloyd/config.yaml": root / "config.example.yaml",
    }
    for inside, source in pairs.items():
        assert (tmp_path / inside).read_bytes() == source.read_bytes(), inside


@pytest.mark.parametrize("name", ["postinst", "prerm", "postrm"])
def test_scripts_are_sound(package, tmp_path, name):
    deb("-e", package, tmp_path)
    script = tmp_path / name
    assert os.access(script, os.X_OK)
    subprocess.run([shutil.which("sh"), "-n", script], check=True)
    assert script.read_text().startswith("#!/bin/sh\n")
