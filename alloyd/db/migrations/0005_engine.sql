-- What the engine waits for, links and lets wait: signals, calls, queues, dead letters.

ALTER TABLE runs ADD COLUMN parent_run_id TEXT;  -- the run whose step called this one
ALTER TABLE runs ADD COLUMN parent_step TEXT;
ALTER TABLE runs ADD COLUMN awaited INTEGER;     -- 1: that step waits for this run's end
ALTER TABLE runs ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN scope TEXT;          -- inline nodes: the keys of the steps that they stand in, by /
ALTER TABLE runs ADD COLUMN item_index INTEGER;  -- its place among a foreach's items
ALTER TABLE runs ADD COLUMN item TEXT;           -- JSON: what inline nodes call `item`
ALTER TABLE runs ADD COLUMN first_context TEXT;  -- JSON: as the run began, once a step has changed it
ALTER TABLE runs ADD COLUMN held_back INTEGER;   -- 1: queued behind another run of its concurrency key
ALTER TABLE runs ADD COLUMN retried_by TEXT;
ALTER TABLE runs ADD COLUMN dead_at INTEGER;     -- failed for good, and nobody has dealt with it yet
CREATE INDEX runs_by_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX runs_dead ON runs (org_id) WHERE dead_at IS NOT NULL;
UPDATE runs SET dead_at = ended_at WHERE state = 'failed';

-- Who holds, and who waits for, one of the places that a concurrency key has.
CREATE TABLE run_slots (
    run_id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    slot TEXT NOT NULL,           -- the workflow and the key's value
    seq INTEGER NOT NULL,         -- the order of starts
    held INTEGER NOT NULL         -- 1: it may run, 0: it is held back
) STRICT, WITHOUT ROWID;
CREATE INDEX run_slots_by_slot ON run_slots (org_id, slot, held, seq);

-- What happened to a waiting step; deleted in the commit that records what came of it.
CREATE TABLE wakeups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    step_key TEXT NOT NULL,
    kind TEXT NOT NULL,           -- child, event, candidate, signal
    payload TEXT NOT NULL         -- JSON
) STRICT;
CREATE INDEX wakeups_by_run ON wakeups (run_id);

CREATE TABLE event_waits (
    id INTEGER PRIMARY KEY,
    org_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    step_key TEXT NOT NULL,
    event TEXT NOT NULL,          -- a kind, or the beginning of kinds: order.*
    matches TEXT,                 -- JSON: what the payload has to hold
    asks INTEGER NOT NULL,        -- 1: the run itself decides, by an expression
    after_event_id INTEGER NOT NULL
) STRICT;
CREATE INDEX event_waits_by_event ON event_waits (org_id, event);
CREATE UNIQUE INDEX event_waits_by_step ON event_waits (run_id, step_key);

CREATE TABLE foreach_items (
    run_id TEXT NOT NULL,
    step_key TEXT NOT NULL,
    item_index INTEGER NOT NULL,
    org_id TEXT NOT NULL,
    item TEXT NOT NULL,           -- JSON
    input TEXT,                   -- JSON: what its run is started with, unless that is the item
    slot TEXT,                    -- JSON: the place that its run needs
    state TEXT,                   -- null until its run has ended
    output TEXT,                  -- JSON
    error TEXT,                   -- JSON
    PRIMARY KEY (run_id, step_key, item_index)
) STRICT, WITHOUT ROWID;
