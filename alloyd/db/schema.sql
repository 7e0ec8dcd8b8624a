-- The whole schema, as the migrations make it; to be read, never run. Made by `make docs`.

CREATE TRIGGER audit_log_is_kept BEFORE DELETE ON audit_log
WHEN OLD.seq > (SELECT pruned_seq FROM audit_ends)
BEGIN
    SELECT raise(ABORT, 'the audit trail is append-only');
END;

CREATE TRIGGER audit_log_stays BEFORE UPDATE ON audit_log
BEGIN
    SELECT raise(ABORT, 'the audit trail is append-only');
END;

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
, team_id TEXT, teammate_id TEXT) STRICT;

CREATE TABLE assets (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    filename TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size INTEGER NOT NULL,        -- bytes
    sha256 TEXT NOT NULL,
    blob_id TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE audit_ends (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    last_seq INTEGER NOT NULL,
    last_hash BLOB NOT NULL,
    pruned_seq INTEGER NOT NULL,
    pruned_hash BLOB NOT NULL
) STRICT;

CREATE TABLE audit_log (
    seq INTEGER PRIMARY KEY,
    created_at INTEGER NOT NULL,
    org_id TEXT NOT NULL,         -- '' where no organization is known: only in the log of the whole installation
    actor_kind TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,         -- kind:id
    outcome TEXT NOT NULL,        -- ok, refused, failed
    status INTEGER,               -- of HTTP
    changed TEXT NOT NULL,        -- JSON array: names of fields, never values
    count INTEGER NOT NULL,       -- how many things or refusals the row stands for
    route TEXT NOT NULL,
    address TEXT NOT NULL,
    request_id TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;

CREATE TABLE blobs (
    id TEXT PRIMARY KEY,          -- random; also the name on disk
    org_id TEXT NOT NULL,
    size INTEGER NOT NULL,        -- bytes
    sha256 TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    unused_at INTEGER             -- when the last row let go of it; the sweeper takes it from here
) STRICT;

CREATE TABLE budgets (
    org_id TEXT PRIMARY KEY REFERENCES organizations (id),
    limit_micro_usd INTEGER,      -- NULL: no limit
    period TEXT NOT NULL,         -- day month
    updated_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE connectors (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,           -- own-...; those that ship are no rows
    definition TEXT NOT NULL,     -- JSON
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE conversation_messages (
    conversation_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    org_id TEXT NOT NULL,
    role TEXT NOT NULL,           -- user, assistant
    text TEXT NOT NULL,
    run_id TEXT NOT NULL,         -- of the turn that it belongs to; retention may have deleted it
    created_at INTEGER NOT NULL,
    PRIMARY KEY (conversation_id, number)
) STRICT;

CREATE TABLE conversations (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    teammate_id TEXT NOT NULL REFERENCES teammates (id),
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    messages INTEGER NOT NULL DEFAULT 0,  -- how many there ever were: the last one's number
    kept INTEGER NOT NULL DEFAULT 0       -- how many of them are still there: the newest
) STRICT, WITHOUT ROWID;

CREATE TABLE credentials (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    end_user_id TEXT,             -- NULL: the organization's own
    connector TEXT NOT NULL,      -- a connector's name
    kind TEXT NOT NULL,           -- api_key, bearer, basic, oauth2
    label TEXT NOT NULL,
    settings TEXT NOT NULL,       -- JSON object: what is no secret, such as a shop's name
    data TEXT NOT NULL,           -- sealed JSON object
    key_id TEXT NOT NULL,         -- the key that data is sealed with
    version INTEGER NOT NULL,     -- counts what data has been: a refresh replaces only what it began with
    status TEXT NOT NULL,         -- ok, failed
    fault TEXT,                   -- why it failed, without secrets
    expires_at INTEGER,           -- of the access token; NULL: it does not, or nobody said
    refreshable INTEGER NOT NULL, -- whether data has what gets a new access token
    last_used_at INTEGER,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE end_user_purges (
    end_user_id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    upto_seq INTEGER NOT NULL,  -- of runs: what was started later stays
    asked_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE end_users (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    username TEXT NOT NULL,
    full_name TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE event_cursors (
    name TEXT PRIMARY KEY,
    last_id INTEGER NOT NULL,     -- retention keeps what is above the lowest of them
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE event_waits (
    id INTEGER PRIMARY KEY,
    org_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    step_key TEXT NOT NULL,
    event TEXT NOT NULL,          -- a kind, or the beginning of kinds: order.*
    matches TEXT,                 -- JSON: what the payload has to hold
    asks INTEGER NOT NULL,        -- 1: the run itself decides, by an expression
    after_event_id INTEGER NOT NULL
, end_user_id TEXT) STRICT;

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
, job_id TEXT) STRICT;

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

CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    principal_kind TEXT NOT NULL, -- user, api_key
    principal_id TEXT NOT NULL,
    action TEXT NOT NULL,         -- <resource>.<verb> or <resource>.*
    resource_kind TEXT NOT NULL,  -- '' for none
    resource_id TEXT NOT NULL,    -- '' for none, * for all of the kind
    effect TEXT NOT NULL,         -- allow, deny
    granted_by TEXT NOT NULL,
    granter_role TEXT NOT NULL,   -- who may take it back
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE grown_steps (
    run_id TEXT NOT NULL,
    key TEXT NOT NULL,
    org_id TEXT NOT NULL,
    parent TEXT NOT NULL,         -- the step that asked for it
    position INTEGER NOT NULL,    -- its place among all that the run grew
    operation TEXT NOT NULL,
    config TEXT NOT NULL,         -- JSON, literally: no expression in it is ever looked at
    PRIMARY KEY (run_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency_keys (
    org_id TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    request_digest TEXT NOT NULL,
    answer TEXT NOT NULL,         -- JSON that leads back to the original answer; never a secret
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, route, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE installations (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    end_user_id TEXT NOT NULL REFERENCES end_users (id),
    workflow_id TEXT NOT NULL REFERENCES workflows (id),
    release TEXT NOT NULL,
    version INTEGER NOT NULL,
    event TEXT,
    configuration TEXT NOT NULL,
    active INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (end_user_id, workflow_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE integration_workflows (
    org_id TEXT NOT NULL,
    slug TEXT NOT NULL,
    workflow_id TEXT NOT NULL REFERENCES workflows (id),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, slug, workflow_id),
    FOREIGN KEY (org_id, slug) REFERENCES integrations (org_id, slug)
) STRICT, WITHOUT ROWID;

CREATE TABLE integrations (
    org_id TEXT NOT NULL REFERENCES organizations (id),
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    category TEXT,
    icon_url TEXT,
    description TEXT,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, slug)
) STRICT, WITHOUT ROWID;

CREATE TABLE invitations (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    email TEXT NOT NULL,          -- case-folded
    role TEXT NOT NULL,
    team_id TEXT,
    token_hash BLOB NOT NULL,     -- SHA-256 of the token
    state TEXT NOT NULL,          -- pending accepted revoked; a pending one whose time is over is expired
    invited_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    accepted_by TEXT
) STRICT;

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

CREATE TABLE oauth_clients (
    org_id TEXT NOT NULL REFERENCES organizations (id),
    connector TEXT NOT NULL,
    data TEXT NOT NULL,           -- sealed JSON object: client_id, client_secret
    key_id TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, connector)
) STRICT, WITHOUT ROWID;

CREATE TABLE oauth_states (
    state_hash TEXT PRIMARY KEY,  -- SHA-256 of what the browser carries
    org_id TEXT NOT NULL,
    data TEXT NOT NULL,           -- sealed JSON object: the client, the PKCE verifier, what the credential will be
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE object_leavings (
    place TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE object_totals (
    org_id TEXT NOT NULL,
    created_by TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    files INTEGER NOT NULL,
    PRIMARY KEY (org_id, created_by, workflow_id, direction)
) STRICT, WITHOUT ROWID;

CREATE TABLE objects (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    object_key TEXT NOT NULL,     -- who knows it may download
    workflow_id TEXT,
    run_id TEXT,
    direction TEXT NOT NULL,      -- input output
    filename TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size INTEGER NOT NULL,        -- bytes
    sha256 TEXT NOT NULL,
    created_by TEXT,              -- the user
    origin TEXT,                  -- what made it: a repeat of that finds it
    backend TEXT NOT NULL,        -- local s3
    place TEXT NOT NULL,          -- local: the blob; s3: the key in the bucket
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE organizations (
    id TEXT PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    archived_at INTEGER
) STRICT;

CREATE TABLE revoked_tokens (
    jti TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE run_slots (
    run_id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    slot TEXT NOT NULL,           -- the workflow and the key's value
    seq INTEGER NOT NULL,         -- the order of starts
    held INTEGER NOT NULL         -- 1: it may run, 0: it is held back
) STRICT, WITHOUT ROWID;

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
, parent_run_id TEXT, parent_step TEXT, awaited INTEGER, depth INTEGER NOT NULL DEFAULT 0, scope TEXT, item_index INTEGER, item TEXT, first_context TEXT, held_back INTEGER, retried_by TEXT, dead_at INTEGER, trigger_depth INTEGER NOT NULL DEFAULT 0, end_user_id TEXT) STRICT;

CREATE TABLE schedule_fires (
    seq INTEGER PRIMARY KEY,
    org_id TEXT NOT NULL,
    schedule_id TEXT NOT NULL,
    fire_at INTEGER NOT NULL,     -- the time that the cron expression names
    run_id TEXT,                  -- NULL: refused
    fired_at INTEGER NOT NULL
) STRICT;

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

CREATE TABLE team_members (
    team_id TEXT NOT NULL REFERENCES teams (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    org_id TEXT NOT NULL,
    role TEXT,                    -- NULL: the role in the organization
    created_at INTEGER NOT NULL,
    PRIMARY KEY (team_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE teammates (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    instructions TEXT NOT NULL,
    provider TEXT,
    model TEXT,
    tier TEXT,
    temperature REAL,
    tools TEXT NOT NULL,          -- JSON array
    read_folders TEXT NOT NULL,   -- JSON array of storage paths
    write_folders TEXT NOT NULL,  -- JSON array of storage paths
    channel TEXT NOT NULL,        -- none, webchat, api
    max_turns INTEGER NOT NULL,
    workflow_id TEXT NOT NULL REFERENCES workflows (id),
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER            -- its conversations are being taken away, and then it is
) STRICT, WITHOUT ROWID;

CREATE TABLE teams (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE timers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    step_key TEXT NOT NULL,
    kind TEXT NOT NULL,           -- delay, retry
    fire_at INTEGER NOT NULL
) STRICT;

CREATE TABLE uninstalled_workflows (
    org_id TEXT NOT NULL,
    end_user_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    upto_seq INTEGER NOT NULL,  -- of runs: what a later installation starts goes on
    since INTEGER NOT NULL,
    PRIMARY KEY (org_id, end_user_id, workflow_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_days (
    day INTEGER NOT NULL,         -- its beginning
    org_id TEXT NOT NULL,
    cost_micro_usd INTEGER NOT NULL,
    PRIMARY KEY (day, org_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_hours (
    org_id TEXT NOT NULL,
    hour INTEGER NOT NULL,        -- its beginning
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    principal_kind TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    calls INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_micro_usd INTEGER NOT NULL,
    over_micro_usd INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    PRIMARY KEY (org_id, hour, provider, model, workflow_id, principal_kind, principal_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_records (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    modality TEXT NOT NULL,
    status TEXT NOT NULL,         -- ok failed cancelled
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_micro_usd INTEGER NOT NULL,
    over_micro_usd INTEGER NOT NULL, -- what the provider asked beyond what the budget had left; not in the cost
    duration_ms INTEGER NOT NULL,
    principal_id TEXT NOT NULL,
    principal_kind TEXT NOT NULL,
    workflow_id TEXT,
    run_id TEXT,
    node_key TEXT,
    job_id TEXT,
    request_id TEXT,
    created_at INTEGER NOT NULL
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
, session_epoch INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE TABLE wakeups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    step_key TEXT NOT NULL,
    kind TEXT NOT NULL,           -- child, event, candidate, signal
    payload TEXT NOT NULL         -- JSON
) STRICT;

CREATE TABLE webhook_deliveries (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    webhook_id TEXT NOT NULL,
    event_id TEXT NOT NULL,       -- the event's, or the delivery's own for a test
    kind TEXT NOT NULL,
    body TEXT NOT NULL,           -- the event as it is sent
    state TEXT NOT NULL,          -- pending, delivered, failed, cancelled
    round_attempts INTEGER NOT NULL DEFAULT 0, -- attempts since the delivery was made or asked for again
    attempts TEXT NOT NULL DEFAULT '[]',       -- JSON array, the newest of all attempts
    next_attempt_at INTEGER,      -- NULL unless pending
    created_at INTEGER NOT NULL,
    ended_at INTEGER              -- NULL while pending
) STRICT;

CREATE TABLE webhooks (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    url TEXT NOT NULL,
    description TEXT,
    events TEXT NOT NULL,         -- JSON array: kinds, order.*, or *
    secret TEXT NOT NULL,         -- sealed
    former_secret TEXT,           -- sealed; signs beside the other until former_until
    former_until INTEGER,
    enabled INTEGER NOT NULL,
    disabled_reason TEXT,         -- by_request, gone, failing, backlog, archived; NULL while enabled
    failing_since INTEGER,        -- the first of the failures that no success has followed yet
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE workflow_releases (
    workflow_id TEXT NOT NULL REFERENCES workflows (id),
    label TEXT NOT NULL,
    org_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (workflow_id, label)
) STRICT, WITHOUT ROWID;

CREATE TABLE workflow_triggers (
    workflow_id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    definition TEXT NOT NULL,     -- JSON, as the workflow's definition has it
    since INTEGER NOT NULL        -- events from before this start nothing
) STRICT, WITHOUT ROWID;

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

CREATE INDEX api_keys_by_teammate ON api_keys (org_id, teammate_id) WHERE teammate_id IS NOT NULL;

CREATE INDEX assets_by_org ON assets (org_id, id);

CREATE INDEX audit_log_by_org ON audit_log (org_id, created_at);

CREATE INDEX blobs_unused ON blobs (unused_at) WHERE unused_at IS NOT NULL;

CREATE UNIQUE INDEX connectors_by_name ON connectors (org_id, name);

CREATE INDEX conversations_by_teammate ON conversations (org_id, teammate_id, id);

CREATE INDEX conversations_by_use ON conversations (org_id, teammate_id, updated_at);

CREATE INDEX credentials_by_connector ON credentials (org_id, connector, end_user_id, id);

CREATE INDEX credentials_by_key ON credentials (key_id, id);

CREATE UNIQUE INDEX credentials_by_label ON credentials (org_id, coalesce(end_user_id, ''), label);

CREATE INDEX credentials_by_org ON credentials (org_id, id);

CREATE INDEX end_users_by_age ON end_users (org_id, id) WHERE deleted_at IS NULL;

CREATE UNIQUE INDEX end_users_by_username ON end_users (org_id, username) WHERE deleted_at IS NULL;

CREATE INDEX event_waits_by_event ON event_waits (org_id, event, end_user_id);

CREATE UNIQUE INDEX event_waits_by_step ON event_waits (run_id, step_key);

CREATE INDEX events_by_job ON events (job_id) WHERE job_id IS NOT NULL;

CREATE INDEX events_by_org ON events (org_id);

CREATE INDEX events_by_run ON events (run_id) WHERE run_id IS NOT NULL;

CREATE INDEX grants_by_org ON grants (org_id, id);

CREATE UNIQUE INDEX grants_by_principal ON grants
    (principal_id, org_id, principal_kind, action, resource_kind, resource_id, effect);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE INDEX installations_by_age ON installations (org_id, id);

CREATE INDEX installations_by_event ON installations (org_id, end_user_id, event) WHERE active = 1 AND event IS NOT NULL;

CREATE INDEX installations_by_user ON installations (org_id, end_user_id, id);

CREATE INDEX installations_by_workflow ON installations (org_id, workflow_id, id);

CREATE INDEX integration_workflows_by_workflow ON integration_workflows (org_id, workflow_id);

CREATE INDEX integrations_by_slug ON integrations (slug);

CREATE INDEX invitations_by_org ON invitations (org_id, id);

CREATE INDEX invitations_by_time ON invitations (org_id, created_at);

CREATE INDEX invitations_pending ON invitations (org_id, email) WHERE state = 'pending';

CREATE INDEX memberships_by_time ON memberships (org_id, created_at, user_id);

CREATE INDEX memberships_by_user ON memberships (user_id);

CREATE INDEX oauth_states_by_end ON oauth_states (expires_at);

CREATE INDEX objects_by_backend ON objects (backend, id);

CREATE UNIQUE INDEX objects_by_key ON objects (object_key);

CREATE INDEX objects_by_org ON objects (org_id, id);

CREATE UNIQUE INDEX objects_by_origin ON objects (org_id, origin) WHERE origin IS NOT NULL;

CREATE INDEX objects_by_run ON objects (org_id, run_id) WHERE run_id IS NOT NULL;

CREATE INDEX revoked_tokens_by_age ON revoked_tokens (expires_at);

CREATE INDEX revoked_tokens_by_user ON revoked_tokens (user_id, expires_at);

CREATE INDEX run_slots_by_slot ON run_slots (org_id, slot, held, seq);

CREATE INDEX runs_by_end_user ON runs (org_id, end_user_id) WHERE end_user_id IS NOT NULL;

CREATE INDEX runs_by_org ON runs (org_id);

CREATE INDEX runs_by_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;

CREATE INDEX runs_by_state ON runs (org_id, state);

CREATE INDEX runs_by_workflow ON runs (org_id, workflow_id);

CREATE INDEX runs_dead ON runs (org_id) WHERE dead_at IS NOT NULL;

CREATE INDEX runs_jobs ON runs (org_id, id) WHERE trigger_kind = 'job';

CREATE INDEX runs_jobs_by_status ON runs (
    org_id,
    CASE state WHEN 'completed' THEN 'completed' WHEN 'failed' THEN 'failed' WHEN 'cancelled' THEN 'failed'
        WHEN 'running' THEN 'started' WHEN 'waiting' THEN 'started' ELSE 'pending' END,
    id
) WHERE trigger_kind = 'job';

CREATE INDEX runs_logged ON runs (org_id, end_user_id, workflow_id)
    WHERE end_user_id IS NOT NULL AND parent_run_id IS NULL;

CREATE INDEX runs_logged_errors ON runs (org_id, end_user_id, workflow_id)
    WHERE end_user_id IS NOT NULL AND parent_run_id IS NULL AND state = 'failed';

CREATE INDEX runs_top_level ON runs (org_id) WHERE parent_run_id IS NULL;

CREATE INDEX runs_top_level_by_workflow ON runs (org_id, workflow_id) WHERE parent_run_id IS NULL;

CREATE INDEX runs_unfinished ON runs (deadline_at) WHERE ended_at IS NULL;

CREATE INDEX runs_unfinished_of_end_user ON runs (org_id, end_user_id)
    WHERE end_user_id IS NOT NULL AND ended_at IS NULL;

CREATE UNIQUE INDEX schedule_fires_once ON schedule_fires (schedule_id, fire_at);

CREATE INDEX schedules_by_org ON schedules (org_id, id);

CREATE INDEX schedules_by_workflow ON schedules (org_id, workflow_id);

CREATE INDEX schedules_due ON schedules (next_fire_at) WHERE next_fire_at IS NOT NULL;

CREATE UNIQUE INDEX schedules_managed ON schedules (org_id, workflow_id) WHERE managed = 1;

CREATE UNIQUE INDEX storage_nodes_by_name ON storage_nodes (org_id, parent_id, name) WHERE parent_id <> 'trash';

CREATE INDEX storage_nodes_listing ON storage_nodes (org_id, parent_id, is_file, name);

CREATE INDEX storage_nodes_trash ON storage_nodes (parent_id) WHERE parent_id = 'trash';

CREATE INDEX team_members_by_user ON team_members (user_id);

CREATE INDEX teammates_by_age ON teammates (org_id, id) WHERE deleted_at IS NULL;

CREATE UNIQUE INDEX teammates_by_name ON teammates (org_id, name) WHERE deleted_at IS NULL;

CREATE INDEX teammates_by_workflow ON teammates (org_id, workflow_id);

CREATE INDEX teammates_deleted ON teammates (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE INDEX teams_by_org ON teams (org_id, id);

CREATE UNIQUE INDEX teams_by_slug ON teams (org_id, slug);

CREATE UNIQUE INDEX timers_by_step ON timers (run_id, step_key);

CREATE INDEX timers_by_time ON timers (fire_at, id);

CREATE INDEX usage_records_by_age ON usage_records (created_at);

CREATE INDEX usage_records_by_job ON usage_records (org_id, job_id, created_at) WHERE job_id IS NOT NULL;

CREATE INDEX usage_records_by_org ON usage_records (org_id, created_at, id);

CREATE INDEX usage_records_of_jobs ON usage_records (org_id, created_at) WHERE job_id IS NOT NULL;

CREATE INDEX wakeups_by_run ON wakeups (run_id);

CREATE INDEX webhook_deliveries_by_end ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;

CREATE INDEX webhook_deliveries_by_event ON webhook_deliveries (event_id);

CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (org_id, webhook_id, id);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at) WHERE state = 'pending';

CREATE INDEX webhook_deliveries_next ON webhook_deliveries (next_attempt_at) WHERE state = 'pending';

CREATE INDEX webhooks_by_org ON webhooks (org_id, id);

CREATE UNIQUE INDEX workflows_by_name ON workflows (org_id, name) WHERE deleted_at IS NULL;

CREATE INDEX workflows_by_org ON workflows (org_id, id);

