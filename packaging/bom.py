"""Tells what the executable is made of, as a CycloneDX document: dist/alloyd.cdx.json."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sqlite3
import ssl
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.utils import canonicalize_name

from alloyd.app.swagger_ui import find_swagger_ui
from alloyd.wire.system.reference.app import SWAGGER_UI_FILES

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
SPEC_VERSION = "1.6"
# In the lock because it builds; packaging/contents.py leaves it out.
NOT_PACKED = frozenset({"setuptools"})

_NAMESPACE = uuid.UUID("7a0c2a5e-5f0b-4c8e-9a55-0d7d1e0b3c11")
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\\n]+))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# Older metadata names a licence in words of its own.
_SPDX: Mapping[str, str] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache-2.0": "Apache-2.0",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
    "MIT": "MIT",
}
# Where the metadata leaves it open; read from the licence file.
_LICENSE_OF: Mapping[str, str] = {"cronsim": "BSD-3-Clause"}


class UnknownLicenseError(Exception):
    """A package whose licence nobody has looked at yet."""


def build_bom(executable: Path, version: str, made_at_s: int) -> dict[str, Any]:
    """The document for ``executable``; ``made_at_s`` is seconds since the epoch. The same input gives the same.

    Raises :class:`UnknownLicenseError`.
    """
    components = sorted([*_locked(LOCK.read_text()), *_others()], key=lambda one: str(one["bom-ref"]))
    digest = hashlib.sha256(executable.read_bytes()).hexdigest()
    main = {
        "type": "application",
        "bom-ref": f"pkg:generic/alloyd@{version}",
        "name": "alloyd",
        "version": version,
        "purl": f"pkg:generic/alloyd@{version}",
        "licenses": [{"expression": "Apache-2.0"}],
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(made_at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lifecycles": [{"phase": "build"}],
            "component": main,
        },
        "components": components,
        "dependencies": [{"ref": main["bom-ref"], "dependsOn": [one["bom-ref"] for one in components]}],
    }


def write_bom(executable: Path, version: str, made_at_s: int) -> Path:
    """Write it beside ``executable``; its path."""
    path = executable.with_name(f"{executable.name}.cdx.json")
    path.write_text(json.dumps(build_bom(executable, version, made_at_s), indent=2, ensure_ascii=False) + "\n")
    return path


def license_of(name: str, told: metadata.PackageMetadata) -> str:
    """The SPDX expression for a package. Raises :class:`UnknownLicenseError`."""
    if name in _LICENSE_OF:
        return _LICENSE_OF[name]
    if expression := told.get("License-Expression"):
        return str(expression)
    classifiers = [text for text in told.get_all("Classifier") or [] if text.startswith("License ::")]
    words = classifiers or [str(told.get("License"))]
    unknown = [text for text in words if text not in _SPDX]
    if unknown:
        raise UnknownLicenseError(f"{name}: {unknown}: read its licence and name it in packaging/bom.py")
    return " OR ".join(sorted({_SPDX[text] for text in words}))


def _locked(lock: str) -> Iterator[dict[str, Any]]:
    """What the lock file pins for this platform, with the hashes by which it was installed."""
    for text in re.split(r"\n(?=\S)", lock.strip()):
        pin = _PIN.match(text)
        if pin is None or pin["name"] in NOT_PACKED or not _applies(pin["marker"]):
            continue
        name, version = canonicalize_name(pin["name"]), pin["version"]
        told = metadata.metadata(name)
        if told["Version"] != version:
            raise SystemExit(f"{name} is installed as {told['Version']} and locked as {version}: make dev")
        purl = f"pkg:pypi/{name}@{version}"
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            "licenses": [{"expression": license_of(name, told)}],
            "externalReferences": [
                {
                    "type": "distribution",
                    "url": f"https://pypi.org/project/{name}/{version}/#files",
                    "comment": "The lock file takes any of these files, one for each platform",
                    "hashes": [{"alg": "SHA-256", "content": digest} for digest in _HASH.findall(text)],
                }
            ],
        }


def _applies(marker: str | None) -> bool:
    return marker is None or Marker(marker.strip()).evaluate()


def _others() -> Iterator[dict[str, Any]]:
    """What has no line of its own in the lock: the interpreter with its libraries, and the API reference's page."""
    folder = find_swagger_ui()
    files = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name, _kind in SWAGGER_UI_FILES]
    swagger_ui = _component(
        "pkg:npm/swagger-ui-dist", "swagger-ui-dist", (folder / "VERSION").read_text().strip().lstrip("v"), "Apache-2.0"
    )
    swagger_ui["components"] = [
        {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]}
        for (name, _kind), digest in zip(SWAGGER_UI_FILES, files, strict=True)
    ]
    yield swagger_ui
    yield _component("pkg:generic/python", "python", platform.python_version(), "PSF-2.0")
    yield _component("pkg:generic/sqlite", "sqlite", sqlite3.sqlite_version, "blessing")
    license_of_openssl = "Apache-2.0" if ssl.OPENSSL_VERSION_INFO[0] >= 3 else "OpenSSL"
    yield _component("pkg:generic/openssl", "openssl", ssl.OPENSSL_VERSION.split()[1], license_of_openssl)
    bootloader = "GPL-2.0-or-later WITH Bootloader-exception"
    yield _component("pkg:pypi/pyinstaller", "pyinstaller", metadata.version("pyinstaller"), bootloader)


def _component(stem: str, name: str, version: str, license_expression: str) -> dict[str, Any]:
    purl = f"{stem}@{version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": [{"expression": license_expression}],
    }
