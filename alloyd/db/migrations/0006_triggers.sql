-- Schedules, and what else starts workflows.

-- How far alloyd's own readers of all events have come: each event is handled once, in the write that moves the cursor.
CREATE TABLE event_cursors (
    name TEXT PRIMARY KEY,
    last_id INTEGER NOT NULL,     -- retention keeps what is above the lowest of them
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How many triggers led to a run, each by an event of the run before: no workflow starts itself for ever.
ALTER TABLE runs ADD COLUMN trigger_depth INTEGER NOT NULL DEFAULT 0;

-- A schedule of its own (workflow_id with a payload), or the one that a workflow's definition asks for (managed).
CREATE TABLE schedules (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    workflow_id TEXT NOT NULL,
    name TEXT NOT NULL,
    cron TEXT NOT NULL,
    timezone TEXT NOT NULL,       -- a name of the IANA database
    misfire TEXT NOT NULL,        -- skip, once, all
    payload TEXT NOT NULL,        -- JSON object
    managed INTEGER NOT NULL,     -- 1: made from the workflow's definition, and changed only by it
    paused_at INTEGER,            -- NULL: enabled
    next_fire_at INTEGER,         -- NULL: paused, or it will never be due again
    last_fire_at INTEGER,
    revision INTEGER NOT NULL,    -- counts changes: what was planned before one is not done after it
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX schedules_by_org ON schedules (org_id, id);
CREATE INDEX schedules_by_workflow ON schedules (org_id, workflow_id);
CREATE UNIQUE INDEX schedules_managed ON schedules (org_id, workflow_id) WHERE managed = 1;
CREATE INDEX schedules_due ON schedules (next_fire_at) WHERE next_fire_at IS NOT NULL;

-- What has been fired: written with the run's start, so that no time fires twice. The newest of each are kept.
CREATE TABLE schedule_fires (
    seq INTEGER PRIMARY KEY,
    org_id TEXT NOT NULL,
    schedule_id TEXT NOT NULL,
    fire_at INTEGER NOT NULL,     -- the time that the cron expression names
    run_id TEXT,                  -- NULL: refused
    fired_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX schedule_fires_once ON schedule_fires (schedule_id, fire_at);

-- What starts a workflow besides requests and schedules: its newest published version's trigger.
CREATE TABLE workflow_triggers (
    workflow_id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    definition TEXT NOT NULL,     -- JSON, as the workflow's definition has it
    since INTEGER NOT NULL        -- events from before this start nothing
) STRICT, WITHOUT ROWID;
