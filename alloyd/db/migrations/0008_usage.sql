-- Usage, budgets, jobs and assets.

-- One row a billable call. What is too old goes (retention.usage_days); its sums stay in usage_hours.
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
CREATE INDEX usage_records_by_org ON usage_records (org_id, created_at, id);
CREATE INDEX usage_records_by_job ON usage_records (org_id, job_id, created_at) WHERE job_id IS NOT NULL;
CREATE INDEX usage_records_of_jobs ON usage_records (org_id, created_at) WHERE job_id IS NOT NULL;
CREATE INDEX usage_records_by_age ON usage_records (created_at);

-- Sums of an hour, written with the records they sum up. Texts are '' where a record has NULL.
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

-- What counts against budgets; read at the start.
CREATE TABLE usage_days (
    day INTEGER NOT NULL,         -- its beginning
    org_id TEXT NOT NULL,
    cost_micro_usd INTEGER NOT NULL,
    PRIMARY KEY (day, org_id)
) STRICT, WITHOUT ROWID;

-- An organization's own budget, in place of the configuration's.
CREATE TABLE budgets (
    org_id TEXT PRIMARY KEY REFERENCES organizations (id),
    limit_micro_usd INTEGER,      -- NULL: no limit
    period TEXT NOT NULL,         -- day month
    updated_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Jobs: runs of alloyd's own one-step workflow. What they ask for is in their metadata.
CREATE INDEX runs_jobs ON runs (org_id, id) WHERE trigger_kind = 'job';
-- (None by modality: SQLite 3.40 counts json_extract() in an index as unsafe, and trusted_schema=OFF refuses the schema.)
CREATE INDEX runs_jobs_by_status ON runs (
    org_id,
    CASE state WHEN 'completed' THEN 'completed' WHEN 'failed' THEN 'failed' WHEN 'cancelled' THEN 'failed'
        WHEN 'running' THEN 'started' WHEN 'waiting' THEN 'started' ELSE 'pending' END,
    id
) WHERE trigger_kind = 'job';

ALTER TABLE events ADD COLUMN job_id TEXT;
CREATE INDEX events_by_job ON events (job_id) WHERE job_id IS NOT NULL;

-- Files outside of the tree of folders, named by their ids; their contents are blobs like the tree's.
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
CREATE INDEX assets_by_org ON assets (org_id, id);
