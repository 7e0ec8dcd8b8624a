"""Named places where a test may kill the process, to show that nothing acknowledged is lost there.

``ALLOYD_CRASH_AT=db.before_commit`` ends the process the first time that place is reached, with no clean-up, as
``kill -9`` would; ``db.before_commit:7`` the seventh time. Unset, which is always so in production, reaching a
place costs one comparison.
"""

from __future__ import annotations

import os

EXIT_STATUS = 137

POINTS = (
    "migrate.before_commit",
    "migrate.after_commit",
    "keyring.before_rename",
    "keyring.after_rename",
    "first_key.made",
    "first_key.told",
    "db.before_begin",
    "db.before_commit",
    "db.after_commit",
    "db.before_answer",
    "audit.before_rows",
    "audit.after_rows",
    "db.before_checkpoint",
    "db.after_checkpoint",
    "db.before_last_checkpoint",
    "db.after_last_checkpoint",
    "blob.created",
    "blob.written",
    "blob.fsynced",
    "blob.folder_made",
    "blob.renamed",
    "blob.directory_fsynced",
    "storage.before_swap",
    "storage.after_swap",
    "object.announced",
    "object.uploaded",
    "object.named",
    "object.before_remove",
    "sweep.before_unlink",
    "sweep.after_unlink",
    "engine.taken",
    "engine.before_step",
    "engine.after_step",
    "engine.before_record",
    "engine.after_record",
    "engine.timer_fired",
    "engine.grown",
    "engine.children_made",
    "engine.child_ended",
    "engine.wakeup_taken",
    "engine.event_matched",
    "engine.handed_over",
    "webhook.before_send",
    "webhook.sent",
    "schedule.before_fire",
    "schedule.after_fire",
    "trigger.before_answer",
    "wire.before_answer",
    "embedded.event_written",
    "embedded.event_accepted",
    "embedded.purge_asked",
    "embedded.purge_part",
    "embedded.purge_deleted",
    "embedded.uninstalled",
    "embedded.uninstalled_part",
    "backup.written",
    "backup.renamed",
    "restore.unpacked",
    "restore.before_switch",
    "restore.after_switch",
)


def _parse(setting: str) -> tuple[str, int]:
    name, _, count = setting.partition(":")
    if name and name not in POINTS:
        raise ValueError(f"ALLOYD_CRASH_AT: no such place {name!r}; there are: {', '.join(POINTS)}")
    return name, int(count or "1")


_armed_name, _left = _parse(os.environ.get("ALLOYD_CRASH_AT", ""))


def reach(name: str) -> None:
    """Say that the program is at ``name``, one of :data:`POINTS`. Ends the process if it is armed for it."""
    if _armed_name != name:
        return
    global _left  # noqa: PLW0603  # a countdown for the life of the process
    _left -= 1
    if _left <= 0:
        os._exit(EXIT_STATUS)
