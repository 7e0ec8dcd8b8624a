"""The executable from the first start to a crash and back."""

from __future__ import annotations

import tomllib

import pytest


@pytest.fixture
def hello_id(command):
    """The id of the sample workflow, asked through the daemon's socket; use it once a daemon runs."""

    def find() -> str:
        listed = command("workflow", "list", "--json")
        items = listed if isinstance(listed, list) else listed["items"]
        return next(item["id"] for item in items if item["name"] == "hello")

    return find


def test_version(command, request):
    project = tomllib.loads((request.config.rootpath / "pyproject.toml").read_text())
    assert project["project"]["version"] in command("version")


def test_usage_fault_has_its_status(command):
    command("frobnicate", status=2)


def test_first_start_prints_a_key_that_works_once(start, tmp_path):
    daemon = start()
    assert daemon.key.startswith("alloy_")
    assert str(tmp_path / "data" / "alloyd.sock") in "".join(daemon.said)
    assert daemon.upload("a.txt", b"first")[0] == 200
    assert daemon.stop() == 0
    again = start()
    assert again.key == ""
    assert "late import" not in daemon.errors() + again.errors()


def test_upload_and_trigger_outlive_kill_9(start, hello_id, command):
    daemon = start()
    content = bytes(range(256)) * 400
    assert daemon.upload("a.bin", content)[0] == 200
    status, answer = daemon.request("POST", f"/api/private/trigger/{hello_id()}", b'{"name": "Ada"}')
    assert (status, answer["success"]) == (200, True)
    run_id = answer["data"]["runId"]
    daemon.kill()
    again = start()
    again.key = daemon.key
    assert again.request("GET", "/api/private/storage/download?path=a.bin")[1] == content
    command("run", "watch", run_id)
    assert command("run", "show", run_id, "--json")["status"] == "completed"
    assert again.stop() == 0


def test_a_run_is_waited_for(start, hello_id):
    daemon = start()
    path = f"/api/private/trigger/{hello_id()}"
    _status, answer = daemon.request("POST", path, b'{"name": "Ada"}', Prefer="wait=30")
    assert answer["data"]["result"]["status"] == "completed"


def test_commands_speak_to_the_daemon_and_without_it(start, command):
    daemon = start()
    assert command("org", "list", "--json")
    assert daemon.stop() == 0
    command("org", "list", "--json")


def test_a_second_daemon_on_the_same_data_is_refused(start):
    start()
    second = start(wait=False)
    assert second.process.wait(60) == 1
    assert "Traceback" not in second.errors()


def test_settings_are_checked(command, tmp_path):
    faulty = tmp_path / "config.yaml"
    faulty.write_text("http:\n  prot: 1\n")
    command("config", "check", "--config", str(faulty), status=1)
