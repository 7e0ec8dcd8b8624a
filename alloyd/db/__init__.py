"""One SQLite file: a writer with group commit, read-only readers, numbered migrations."""

from alloyd.db.database import Database, DatabaseSettings
from alloyd.db.grouped import GroupedWrite
from alloyd.db.tx import Tx

__all__ = ["Database", "DatabaseSettings", "GroupedWrite", "Tx"]
