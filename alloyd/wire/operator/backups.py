"""`/operator/backup`: a backup of everything, made by the running daemon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
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


CountElsewhere = Callable[[str], Awaitable[tuple[int, int]]]


class BackupJson(msgspec.Struct, frozen=True, kw_only=True):
    """The archive: its bytes and SHA-256, and what is in it. ``damaged`` contents were so on the disk already.

    ``objects_elsewhere`` lie in the object store, which has to be backed up by itself.
    """

    path: str
    size_bytes: int
    sha256: str
    members: int
    files: int
    keys: int
    damaged: list[str]
    objects_elsewhere: int
    schema_version: int
    alloyd_version: str
    created_at: str
    verified: bool


class Backups:
    """The handler of `/operator/backup`."""

    def __init__(self, backups: BackupService, count_elsewhere: CountElsewhere) -> None:
        self._backups = backups
        self._count_elsewhere = count_elsewhere

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
            objects_elsewhere=(await self._count_elsewhere("s3"))[0],
            schema_version=manifest.schema_version,
            alloyd_version=manifest.alloyd_version,
            created_at=rfc3339(manifest.created_at),
            verified=body.verify,
        )


def routes(backups: BackupService, count_elsewhere: CountElsewhere) -> list[Route]:
    """The routes of this file. ``count_elsewhere("s3")`` gives the objects in the bucket, and their bytes."""
    api = Backups(backups, count_elsewhere)
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
