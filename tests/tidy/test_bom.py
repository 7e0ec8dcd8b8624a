"""What the executable is said to be made of, against the lock file and what is installed."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from email.message import Message
from importlib import metadata

import pytest

MADE_AT_S = 1_700_000_000
OSI = "License :: OSI Approved ::"


@pytest.fixture(scope="module")
def bom(root):
    spec = importlib.util.spec_from_file_location("packaging_bom", root / "packaging" / "bom.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def written(bom, tmp_path):
    executable = tmp_path / "alloyd"
    executable.write_bytes(b"the executable")
    path = bom.write_bom(executable, "1.2.3", MADE_AT_S)
    assert path == tmp_path / "alloyd.cdx.json"
    return json.loads(path.read_text())


def told(**fields: str) -> Message:
    message = Message()
    for name, value in fields.items():
        for one in value.split("|"):
            message[name.replace("_", "-")] = one
    return message


def test_it_is_about_this_executable(written):
    assert (written["bomFormat"], written["specVersion"], written["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", written["serialNumber"])
    main = written["metadata"]["component"]
    assert (main["name"], main["version"], main["type"]) == ("alloyd", "1.2.3", "application")
    assert main["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(b"the executable").hexdigest()}]
    assert written["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"


def test_it_names_what_is_locked_and_no_more(root, written):
    lock = (root / "requirements.lock").read_text()
    pinned = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s\\;]+)", lock, re.MULTILINE))
    del pinned["setuptools"]
    named = {one["name"]: one["version"] for one in written["components"]}
    others = {"swagger-ui-dist", "python", "sqlite", "openssl", "pyinstaller"}
    assert {name: version for name, version in named.items() if name not in others} == pinned
    assert others <= set(named)
    assert named["swagger-ui-dist"] in metadata.version("flask-swagger-ui")


def test_hashes_are_those_of_the_lock(root, written):
    lock = (root / "requirements.lock").read_text()
    (aiohttp,) = (one for one in written["components"] if one["name"] == "aiohttp")
    block = re.search(r"^aiohttp==.*?(?=\n\S)", lock, re.MULTILINE | re.DOTALL)[0]
    (files,) = aiohttp["externalReferences"]
    assert [one["content"] for one in files["hashes"]] == re.findall("sha256:([0-9a-f]{64})", block)


def test_every_component_has_a_purl_and_a_licence(written):
    refs = [one["bom-ref"] for one in written["components"]]
    assert len(set(refs)) == len(refs)
    for one in written["components"]:
        assert re.fullmatch(r"pkg:(pypi|npm|generic)/[a-z0-9.-]+@[A-Za-z0-9.+-]+", one["purl"])
        assert one["licenses"][0]["expression"]
    assert written["dependencies"][0]["dependsOn"] == refs


def test_it_is_the_same_each_time(bom, tmp_path, written):
    executable = tmp_path / "alloyd"
    executable.write_bytes(b"the executable")
    assert json.loads(json.dumps(bom.build_bom(executable, "1.2.3", MADE_AT_S))) == written
    executable.write_bytes(b"another one")
    assert bom.build_bom(executable, "1.2.3", MADE_AT_S)["serialNumber"] != written["serialNumber"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"License_Expression": "MIT-0", "License": "other"}, "MIT-0"),
        ({"License": "Apache 2.0"}, "Apache-2.0"),
        (
            {
                "License": "MIT License",
                "Classifier": f"{OSI} MIT License|{OSI} Apache Software License",
            },
            "Apache-2.0 OR MIT",
        ),
    ],
)
def test_licences_are_spdx(bom, fields, expected):
    assert bom.license_of("thing", told(**fields)) == expected


@pytest.mark.parametrize("fields", [{}, {"License": "Own words"}, {"Classifier": f"{OSI} BSD License"}])
def test_an_unknown_licence_is_a_fault(bom, fields):
    with pytest.raises(bom.UnknownLicenseError, match="thing"):
        bom.license_of("thing", told(**fields))


def test_another_version_than_the_locked_one_is_a_fault(bom, tmp_path, monkeypatch):
    lock = tmp_path / "lock"
    lock.write_text("aiohttp==0.0.1 \\\n    --hash=sha256:" + "a" * 64 + "\n")
    monkeypatch.setattr(bom, "LOCK", lock)
    executable = tmp_path / "alloyd"
    executable.write_bytes(b"")
    with pytest.raises(SystemExit, match="make dev"):
        bom.build_bom(executable, "1", MADE_AT_S)


def test_what_does_not_apply_here_is_left_out(bom, tmp_path, monkeypatch):
    lock = tmp_path / "lock"
    lock.write_text("winthing==1 ; sys_platform == 'win32' \\\n    --hash=sha256:" + "a" * 64 + "\n")
    monkeypatch.setattr(bom, "LOCK", lock)
    executable = tmp_path / "alloyd"
    executable.write_bytes(b"")
    assert not any(one["name"] == "winthing" for one in bom.build_bom(executable, "1", MADE_AT_S)["components"])
