"""`/operator/backup`: a backup of everything, made by the running daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from alloyd.domain.backups.model import Manifest
from alloyd.domain.backups.service import PATH_BYTES_MAX, BackupService
from alloyd.kit.clock import rfc3339
from alloyd.wire.route import OPERATOR, Call, Route


class BackupBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``path`` is absolute, on the daemon's machine, and not there yet; ``verify`` reads all of it again."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=PATH_BYTES_MAX)]
    verify: bool = False


class BackupJson(msgspec.Struct, frozen=True, kw_only=True):
    """The archive: its bytes and SHA-256, and what is in it. ``damaged`` contents were so on the disk already."""

    path: str
    size_bytes: int
    sha256: str
    members: int
    files: int
    keys: int
    damaged: list[str]
    schema_version: int
    alloyd_version: str
    created_at: str
    verified: bool


class Backups:
    """The handler of `/operator/backup`."""

    def __init__(self, backups: BackupService) -> None:
        self._backups = backups

    async def post_backup(self, call: Call) -> BackupJson:
        """`alloyd backup`."""
        body: BackupBody = call.body
        path = Path(body.path)
        report = await self._backups.create(path)
        if body.verify:
            await self._backups.verify(path)
        manifest: Manifest = report.manifest
        return BackupJson(
            path=str(report.path),
            size_bytes=report.size,
            sha256=report.sha256,
            members=manifest.members,
            files=manifest.files,
            keys=manifest.keys,
            damaged=manifest.damaged,
            schema_version=manifest.schema_version,
            alloyd_version=manifest.alloyd_version,
            created_at=rfc3339(manifest.created_at),
            verified=body.verify,
        )


def routes(backups: BackupService) -> list[Route]:
    """The routes of this file."""
    api = Backups(backups)
    return [
        Route(
            "POST",
            "/backup",
            api.post_backup,
            OPERATOR,
            "Write database and files, as of now, into one archive",
            body=BackupBody,
            output=BackupJson,
            status=201,
            statuses=(409, 422),
            audit_as="backup.create",
        )
    ]
