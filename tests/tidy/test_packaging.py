"""What is packed against what is there: data files, migrations, lock files."""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from alloyd.db.migrate import MIGRATIONS

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def contents(root):
    spec = importlib.util.spec_from_file_location("packaging_contents", root / "packaging" / "contents.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def data_paths(root: Path) -> list[Path]:
    files = (path for path in (root / "alloyd").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(path for path in files if path.suffix not in (".py", ".pyc"))


def pins(lock: str) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in _PIN.findall(lock)}


def hash_faults(lock: str) -> list[str]:
    """Requirements of a lock file without a pinned version or without a hash."""
    requirements = re.split(r"\n(?=\S)", lock.strip())
    return [text for text in requirements if not _PIN.match(text) or "--hash=sha256:" not in text]


def lock_faults(wanted: list[str], pinned: dict[str, str]) -> list[str]:
    """Requirements that a lock file lacks or pins at a version they do not allow."""
    faults = []
    for text in wanted:
        requirement = Requirement(text)
        version = pinned.get(canonicalize_name(requirement.name))
        if version is None or version not in requirement.specifier:
            faults.append(f"{text}: locked at {version}")
    return faults


def test_every_data_file_is_package_data(root, project):
    patterns = project["tool"]["setuptools"]["package-data"]["*"]
    missing = [
        str(path.relative_to(root))
        for path in data_paths(root)
        if not any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns)
    ]
    assert missing == []


def test_every_data_file_is_in_the_executable(root, contents):
    packed = {source for source, _folder in contents.data_files()}
    missing = [path for path in data_paths(root) if str(path) not in packed and path.name != "py.typed"]
    assert missing == []


def test_data_files_keep_their_folder(contents, root):
    assert (str(root / "alloyd/db/migrations/0001_first.sql"), "alloyd/db/migrations") in contents.data_files()


def test_the_spec_takes_its_files_from_there(root):
    assert "datas=data_files()" in (root / "packaging" / "alloyd.spec").read_text()


def test_migrations_on_disk_are_the_listed_ones(root):
    assert sorted(path.name for path in (root / "alloyd/db/migrations").glob("*.sql")) == list(MIGRATIONS)
    assert [name[:4] for name in MIGRATIONS] == [f"{number:04d}" for number in range(1, len(MIGRATIONS) + 1)]


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_requirement_has_a_hash(root, name):
    assert hash_faults((root / name).read_text()) == []


def test_locks_are_up_to_date(root, project):
    groups = project["dependency-groups"]
    run, dev = (pins((root / name).read_text()) for name in ("requirements.lock", "requirements-dev.lock"))
    assert lock_faults(project["project"]["dependencies"] + groups["build"], run) == []
    assert lock_faults(project["project"]["dependencies"] + groups["dev"], dev) == []
    assert {name: dev[name] for name in run if name in dev} == {name: run[name] for name in run if name in dev}


def test_version_is_said_once(project):
    import alloyd

    assert project["project"]["version"] == alloyd.__version__


def test_hash_check_sees_a_fault():
    good = "a==1 \\\n    --hash=sha256:ab\nb==2 ; python_version < '3.12' \\\n    --hash=sha256:cd\n"
    assert hash_faults(good) == []
    assert hash_faults(good + "c==3\n") == ["c==3"]
    assert hash_faults(good + "d>=3 \\\n    --hash=sha256:ef") != []


def test_lock_check_sees_a_fault():
    assert lock_faults(["PyJWT>=2"], {"pyjwt": "2.1"}) == []
    assert lock_faults(["PyJWT>=2"], {"pyjwt": "1.9"}) == ["PyJWT>=2: locked at 1.9"]
    assert lock_faults(["PyJWT>=2"], {}) == ["PyJWT>=2: locked at None"]
