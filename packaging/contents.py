"""What the executable carries besides modules: every file of alloyd that is not Python."""

from __future__ import annotations

from pathlib import Path

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

from alloyd.app.swagger_ui import PACKAGE, find_swagger_ui
from alloyd.wire.system.reference.app import SWAGGER_UI_FILES

ROOT = Path(__file__).resolve().parents[1]
# By suffix, the same as [tool.setuptools.package-data] in pyproject.toml; a test holds the two together.
DATA_SUFFIXES = (".sql", ".md", ".json", ".yaml", ".html", ".css", ".js", ".svg", ".proto", ".binpb")


def data_files(room: Path = ROOT / "alloyd") -> list[tuple[str, str]]:
    """(file, folder inside the executable) of each, as PyInstaller's ``datas`` wants them."""
    return [
        (str(path), str(path.parent.relative_to(room.parent)))
        for path in sorted(room.rglob("*"))
        if path.is_file() and path.suffix in DATA_SUFFIXES and "__pycache__" not in path.parts
    ]


def time_zone_files() -> list[tuple[str, str]]:
    """The time zones, for machines that have none of their own: schedules need them."""
    return [(str(source), folder) for source, folder in collect_data_files("tzdata")]


def swagger_ui_files() -> list[tuple[str, str]]:
    """The API reference's files, with their licence, out of a package of which nothing else is needed."""
    folder = find_swagger_ui()
    inside = f"{PACKAGE}/dist"
    return [(str(folder / name), inside) for name in (*(name for name, _kind in SWAGGER_UI_FILES), "LICENSE")]


# Imported out of compiled code, where PyInstaller can't see it, or by name while running.
_WHOLE_PACKAGES = (
    "aiohttp",
    "argon2",
    "jsonschema_rs",
    "msgspec",
    "obstore",
    "prometheus_client",
    "rich",
    "structlog",
    "tzdata",
    "uuid_utils",
    "uvloop",
)
_SINGLE_MODULES = ("_cffi_backend", "_argon2_cffi_bindings", "_argon2_cffi_bindings._ffi")

# Found by following every import of the libraries, and of no use in a daemon.
_EXCLUDED = (
    "IPython",
    "_pytest",
    "curses",
    "doctest",
    "django",
    "flask",
    "flask_swagger_ui",
    "gunicorn",
    "hypothesis",
    "idlelib",
    "lib2to3",
    "mypy",
    "numpy",
    "pip",
    "pydantic",
    "pydantic_core",
    "pydoc",
    "pydoc_data",
    "pytest",
    "setuptools",
    "test",
    "tkinter",
    "turtle",
    "twisted",
    "unittest",
    "xmlrpc",
)


def entry() -> str:
    """The script that the executable runs."""
    return str(ROOT / "alloyd" / "__main__.py")


def marker() -> tuple[str, str, str]:
    """The file by which a leftover directory is known as alloyd's; unpacked before everything else."""
    return ("alloyd.unpacked", str(ROOT / "packaging" / "alloyd.unpacked"), "DATA")


def hidden_imports() -> list[str]:
    """Modules that have to be in it although no Python code names them."""
    found = list(_SINGLE_MODULES)
    for package in _WHOLE_PACKAGES:
        found += collect_submodules(package, filter=_is_needed)
    return found


def excluded() -> list[str]:
    """Modules that are left out."""
    return list(_EXCLUDED)


def _is_needed(module: str) -> bool:
    return not {"tests", "pytest_plugin", "test_utils", "__main__", "django", "twisted", "_testbase"} & set(
        module.split(".")
    )
