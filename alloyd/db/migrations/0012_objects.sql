-- Files of runs.

-- One row an object. Its bytes are durable before it is written: as a blob, or in the S3 bucket.
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
CREATE UNIQUE INDEX objects_by_key ON objects (object_key);
CREATE UNIQUE INDEX objects_by_origin ON objects (org_id, origin) WHERE origin IS NOT NULL;
CREATE INDEX objects_by_run ON objects (org_id, run_id) WHERE run_id IS NOT NULL;
CREATE INDEX objects_by_org ON objects (org_id, id);
CREATE INDEX objects_by_backend ON objects (backend, id);

-- Sums, written with the rows they sum up. Texts are '' where an object has NULL.
CREATE TABLE object_totals (
    org_id TEXT NOT NULL,
    created_by TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    files INTEGER NOT NULL,
    PRIMARY KEY (org_id, created_by, workflow_id, direction)
) STRICT, WITHOUT ROWID;

-- What may lie in the bucket with no object that names it: an upload before it is named, and what was let go.
CREATE TABLE object_leavings (
    place TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
