"""Archives as an attacker, or a disk, would make them: well formed, with checksums that fit, and wrong inside."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import msgspec

from alloyd.domain.backups.archive import ArchiveWriter
from alloyd.domain.backups.creation import member_line
from alloyd.domain.backups.model import MANIFEST, MEMBERS, Member, place_in_order, seal, unseal


def read_parts(path: Path) -> dict[str, bytes]:
    """Every member by its name."""
    with tarfile.open(path) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def forge(path: Path, parts: dict[str, bytes], *, keep_listing: bool = False, **claims: Any) -> Path:
    """Write ``parts`` over ``path``. Listing and manifest are made to fit unless kept; ``claims`` change the latter."""
    parts = dict(parts)
    if not keep_listing:
        contents = {name: parts[name] for name in sorted(parts, key=place_in_order) if name not in (MEMBERS, MANIFEST)}
        lines = b"".join(
            member_line(Member(name, len(content), hashlib.sha256(content).hexdigest()))
            for name, content in contents.items()
        )
        parts[MEMBERS] = lines
        fitting: dict[str, Any] = {
            "members": len(contents),
            "bytes": sum(map(len, contents.values())),
            "files": sum(name.startswith("blobs/") for name in contents),
            "keys": sum(name.startswith("keys/") for name in contents),
            "members_sha256": hashlib.sha256(lines).hexdigest(),
        }
        old = unseal(parts[MANIFEST])
        parts[MANIFEST] = seal(msgspec.structs.replace(old, **{**fitting, **claims, "digest": ""}))
    with path.open("wb") as out:
        writer = ArchiveWriter(out, 0)
        for name in sorted(parts, key=place_in_order):
            writer.add(name, len(parts[name]), io.BytesIO(parts[name]).read)
        writer.end()
    return path
