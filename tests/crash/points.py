"""Which named points are tried where, and at which time of reaching them."""

from __future__ import annotations

AROUND_A_COMMIT = ("before_begin", "before_commit", "after_commit", "before_answer")

# On an empty directory. The groups that are committed first there: the organization with its key, the workflow
# `hello`, and that the key was shown.
AT_THE_FIRST_START = (
    "migrate.before_commit",
    "migrate.after_commit",
    "keyring.before_rename",
    "keyring.after_rename",
    "first_key.made",
    "first_key.told",
    *(f"db.{place}:{n}" for place in AROUND_A_COMMIT for n in (1, 2, 3)),
)

# With unfinished runs to read back, and then under load. Early ones are reached while they are read back.
UNDER_LOAD = (
    *(f"db.{place}:{n}" for place in AROUND_A_COMMIT for n in (1, 60)),
    *(f"audit.{place}:{n}" for place in ("before_rows", "after_rows") for n in (1, 40)),
    "db.before_checkpoint:3",
    "db.after_checkpoint:3",
    "blob.created:2",
    "blob.written:2",
    "blob.fsynced:2",
    "blob.folder_made:2",
    "blob.renamed:2",
    "blob.directory_fsynced:2",
    "storage.before_swap:3",
    "storage.after_swap:3",
    "sweep.before_unlink:2",
    "sweep.after_unlink:2",
    "engine.taken:1",
    "engine.taken:9",
    "engine.before_step:5",
    "engine.after_step:5",
    "engine.before_record:1",
    "engine.before_record:25",
    "engine.after_record:1",
    "engine.after_record:25",
    "engine.timer_fired:1",
    "engine.timer_fired:5",
    "engine.children_made:1",
    "engine.children_made:9",
    "engine.child_ended:1",
    "engine.child_ended:8",
    "engine.wakeup_taken:1",
    "engine.wakeup_taken:9",
    "engine.event_matched:1",
    "engine.event_matched:3",
    "engine.handed_over:1",
    "engine.handed_over:4",
    "trigger.before_answer:4",
    "wire.before_answer:20",
)

AT_A_STOP = ("db.before_last_checkpoint", "db.after_last_checkpoint")

DURING_A_BACKUP = ("backup.written", "backup.renamed")

# Several deliveries are on their way: the third one is not sent yet, or not recorded yet.
DURING_A_DELIVERY = ("webhook.before_send:3", "webhook.sent:3")

# A step makes an object in the bucket; the last one is passed when what a crash left there is removed.
DURING_AN_UPLOAD = ("object.announced", "object.uploaded", "object.named", "object.before_remove")

# Events of end users, each of which starts a run and resumes one.
DURING_USERS_EVENTS = (
    "embedded.event_written:1",
    "embedded.event_written:7",
    "embedded.event_accepted:1",
    "embedded.event_accepted:7",
    *(f"db.{place}:5" for place in ("before_commit", "after_commit", "before_answer")),
    "engine.wakeup_taken:3",
    "engine.after_record:4",
    "wire.before_answer:3",
)

# A teammate's: its first turn is about to be asked, its tools about to be called, its second turn about to be asked;
# and while answers and results are there that nothing knows of yet.
DURING_A_CONVERSATION = (
    "engine.grown:1",
    "engine.grown:2",
    "engine.grown:3",
    "engine.before_step:2",
    "engine.after_step:2",
    "engine.after_step:3",
    "engine.children_made:1",
    "engine.child_ended:1",
    "engine.before_record:3",
    "engine.after_record:5",
)

# With schedules that were due while no daemon ran.
BY_THE_CLOCK = (
    "schedule.before_fire:1",
    "schedule.after_fire:1",
    *(f"db.{place}:{n}" for place in ("before_commit", "after_commit", "before_answer") for n in (2, 4)),
    "engine.after_record:3",
)

# No daemon runs when these are passed, or a life of the engine alone.
ELSEWHERE = {
    "embedded.purge_asked": "tests/domain/embedded/test_crashes.py",
    "embedded.purge_part": "tests/domain/embedded/test_crashes.py",
    "embedded.purge_deleted": "tests/domain/embedded/test_crashes.py",
    "embedded.uninstalled": "tests/domain/embedded/test_crashes.py",
    "embedded.uninstalled_part": "tests/domain/embedded/test_crashes.py",
    "restore.unpacked": "tests/domain/backups/test_restoring.py",
    "restore.before_switch": "tests/domain/backups/test_restoring.py",
    "restore.after_switch": "tests/domain/backups/test_restoring.py",
}
