"""What an asset is."""

from __future__ import annotations

from dataclasses import dataclass

from alloyd.domain.storage.model import FileInfo
from alloyd.kit.paths import ROOT, parse_name

DEFAULT_NAME = "asset"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file by its id; it never changes. ``size`` in bytes, ``sha256`` in hex, ``created_at`` in ms."""

    id: str
    org_id: str
    filename: str
    content_type: str
    size: int
    sha256: str
    blob_id: str
    created_by: str
    created_at: int

    def to_info(self) -> FileInfo:
        """As storage opens it: a file of that name."""
        path = ROOT.child(parse_name(self.filename, "filename"))
        return FileInfo(path, self.size, self.content_type, self.sha256, self.blob_id, self.created_at, self.created_at)
