"""The systemd unit: well formed, confined, and in step with the program's own settings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from alloyd.config.model import Config

EXPOSURE_MAX = 1.9  # systemd's own measure; below 2 is asked for

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and not os.environ.get("CI"),
    reason="systemd-analyze is not installed (Debian: apt-get install systemd)",
)


@pytest.fixture
def unit(root):
    return (root / "systemd" / "alloyd.service").read_text()


@pytest.fixture
def unit_file(unit, tmp_path):
    """The unit with a program that is there: verify looks for the executable."""
    path = tmp_path / "alloyd.service"
    path.write_text(unit.replace("/usr/bin/alloyd", "/bin/true"))
    return path


def analyze(*arguments) -> subprocess.CompletedProcess:
    environment = os.environ | {"SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "cat"}
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, timeout=60, env=environment
    )


def setting(unit: str, name: str) -> str:
    found = re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)
    assert len(found) == 1, name
    return found[0]


def exposure(unit_file) -> float:
    said = analyze("security", "--offline=true", unit_file).stdout
    return float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)[1])


@needs_systemd
def test_unit_is_well_formed(unit_file):
    said = analyze("verify", "--man=no", unit_file)
    assert (said.returncode, said.stderr) == (0, "")


@needs_systemd
def test_verify_would_see_a_fault(unit_file):
    unit_file.write_text(unit_file.read_text().replace("Type=notify", "Type=notifi"))
    assert analyze("verify", "--man=no", unit_file).stderr


@needs_systemd
def test_service_is_confined(unit_file):
    assert exposure(unit_file) <= EXPOSURE_MAX


@needs_systemd
def test_every_part_of_the_confinement_counts(unit_file):
    before = exposure(unit_file)
    text = unit_file.read_text()
    for line in ("PrivateUsers=yes\n", "CapabilityBoundingSet=\n", "SystemCallFilter=@system-service\n"):
        unit_file.write_text(text.replace(line, ""))
        assert exposure(unit_file) > before


def test_a_stop_leaves_time_to_drain(unit):
    assert int(setting(unit, "TimeoutStopSec")) > Config().engine.shutdown_grace_s + 10


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Type", "notify"),
        ("NotifyAccess", "all"),
        ("User", "alloyd"),
        ("StateDirectory", "alloyd"),
        ("StateDirectoryMode", "0700"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("KillMode", "mixed"),
        ("KillSignal", "SIGTERM"),
        ("Restart", "on-failure"),
        ("PrivateTmp", "yes"),
    ],
)
def test_settings_that_the_program_relies_on(unit, name, value):
    assert setting(unit, name) == value


def test_watchdog_is_on(unit):
    assert int(setting(unit, "WatchdogSec")) > 0
