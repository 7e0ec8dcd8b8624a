-- The whole schema, as the migrations make it; to be read, never run. Made by `make docs`.

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    description TEXT,
    key_id TEXT NOT NULL UNIQUE,  -- the 8 characters that a raw key shows
    secret_hash BLOB NOT NULL,    -- SHA-256 of the whole raw key
    scopes TEXT NOT NULL,         -- JSON array
    role TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    disabled_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER
) STRICT;

CREATE TABLE blobs (
    id TEXT PRIMARY KEY,          -- random; also the name on disk
    org_id TEXT NOT NULL,
    size INTEGER NOT NULL,        -- bytes
    sha256 TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    unused_at INTEGER             -- when the last row let go of it; the sweeper takes it from here
) STRICT;

CREATE TABLE events (
    id INTEGER PRIMARY KEY,       -- grows with commit order
    org_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    run_id TEXT,
    workflow_id TEXT,
    node_key TEXT,
    payload TEXT NOT NULL,        -- JSON
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE idempotency_keys (
    org_id TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    request_digest TEXT NOT NULL,
    answer TEXT NOT NULL,         -- JSON that leads back to the original answer; never a secret
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, route, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE memberships (
    org_id TEXT NOT NULL REFERENCES organizations (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE organizations (
    id TEXT PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    archived_at INTEGER
) STRICT;

CREATE TABLE run_steps (
    run_id TEXT NOT NULL,
    key TEXT NOT NULL,
    org_id TEXT NOT NULL,
    state TEXT NOT NULL,          -- ready running waiting completed failed skipped cancelled
    attempt INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    port TEXT,                    -- the way a branch took
    attempts TEXT,                -- JSON array of the attempts before this one
    error TEXT,                   -- JSON
    output TEXT,                  -- JSON
    PRIMARY KEY (run_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    seq INTEGER PRIMARY KEY,      -- the order of starts; indexes end in it for nothing
    id TEXT NOT NULL UNIQUE,
    org_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,          -- pending queued running waiting completed failed cancelled
    trigger_kind TEXT NOT NULL,   -- api, control, ...
    started_by TEXT NOT NULL,     -- the principal
    steps_total INTEGER NOT NULL,
    steps_done INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    queued_at INTEGER,
    started_at INTEGER,
    ended_at INTEGER,
    deadline_at INTEGER,          -- kept by the scheduler, not by the step
    owner TEXT,                   -- the daemon that drives it, and until when: one daemon today, several some day
    lease_until INTEGER,
    retry_of TEXT,
    metadata TEXT,                -- JSON
    error TEXT,                   -- JSON
    output TEXT,                  -- JSON
    context TEXT,                 -- JSON
    payload TEXT                  -- JSON
) STRICT;

CREATE TABLE storage_nodes (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    name TEXT NOT NULL,           -- NFC
    is_file INTEGER NOT NULL,     -- 0 sorts folders first
    size INTEGER NOT NULL,        -- bytes; 0 for a folder
    mime_type TEXT,
    sha256 TEXT,
    blob_id TEXT,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT;

CREATE TABLE storage_usage (
    org_id TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    files INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE timers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    step_key TEXT NOT NULL,
    kind TEXT NOT NULL,           -- delay, retry
    fire_at INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE, -- case-folded
    display_name TEXT NOT NULL,
    password_hash TEXT,         -- Argon2id
    platform_admin INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT;

CREATE TABLE workflow_versions (
    workflow_id TEXT NOT NULL REFERENCES workflows (id),
    version INTEGER NOT NULL,
    org_id TEXT NOT NULL,
    definition TEXT NOT NULL,     -- JSON as it was given
    digest TEXT NOT NULL,         -- SHA-256 of the canonical JSON: the same content again changes nothing
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    published_at INTEGER,         -- NULL: a draft
    PRIMARY KEY (workflow_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE workflows (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    latest_version INTEGER NOT NULL,
    published_version INTEGER,    -- NULL: nothing that could run yet
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;

CREATE INDEX api_keys_by_expiry ON api_keys (expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX api_keys_by_org ON api_keys (org_id, id);

CREATE INDEX blobs_unused ON blobs (unused_at) WHERE unused_at IS NOT NULL;

CREATE INDEX events_by_org ON events (org_id);

CREATE INDEX events_by_run ON events (run_id) WHERE run_id IS NOT NULL;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE INDEX memberships_by_user ON memberships (user_id);

CREATE INDEX runs_by_org ON runs (org_id);

CREATE INDEX runs_by_state ON runs (org_id, state);

CREATE INDEX runs_by_workflow ON runs (org_id, workflow_id);

CREATE INDEX runs_unfinished ON runs (deadline_at) WHERE ended_at IS NULL;

CREATE UNIQUE INDEX storage_nodes_by_name ON storage_nodes (org_id, parent_id, name) WHERE parent_id <> 'trash';

CREATE INDEX storage_nodes_listing ON storage_nodes (org_id, parent_id, is_file, name);

CREATE INDEX storage_nodes_trash ON storage_nodes (parent_id) WHERE parent_id = 'trash';

CREATE UNIQUE INDEX timers_by_step ON timers (run_id, step_key);

CREATE INDEX timers_by_time ON timers (fire_at, id);

CREATE UNIQUE INDEX workflows_by_name ON workflows (org_id, name) WHERE deleted_at IS NULL;

CREATE INDEX workflows_by_org ON workflows (org_id, id);

