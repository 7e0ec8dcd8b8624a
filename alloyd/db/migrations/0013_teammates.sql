-- AI teammates and their conversations.

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
CREATE UNIQUE INDEX teammates_by_name ON teammates (org_id, name) WHERE deleted_at IS NULL;
CREATE INDEX teammates_by_age ON teammates (org_id, id) WHERE deleted_at IS NULL;
CREATE INDEX teammates_by_workflow ON teammates (org_id, workflow_id);
CREATE INDEX teammates_deleted ON teammates (deleted_at) WHERE deleted_at IS NOT NULL;

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
CREATE INDEX conversations_by_teammate ON conversations (org_id, teammate_id, id);
CREATE INDEX conversations_by_use ON conversations (org_id, teammate_id, updated_at);

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

-- Steps that a run got while it ran: those that an operation asked for. What became of them stands in run_steps.
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
