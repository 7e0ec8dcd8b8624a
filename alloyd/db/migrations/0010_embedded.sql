-- End users, integrations and installations.

-- Whom an organization has workflows for. A deleted one keeps its id and nothing that tells who it was.
CREATE TABLE end_users (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    username TEXT NOT NULL,
    full_name TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX end_users_by_username ON end_users (org_id, username) WHERE deleted_at IS NULL;
CREATE INDEX end_users_by_age ON end_users (org_id, id) WHERE deleted_at IS NULL;

-- The id is int_<slug>, so it is unique within its organization only.
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

CREATE INDEX integrations_by_slug ON integrations (slug);

CREATE TABLE integration_workflows (
    org_id TEXT NOT NULL,
    slug TEXT NOT NULL,
    workflow_id TEXT NOT NULL REFERENCES workflows (id),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, slug, workflow_id),
    FOREIGN KEY (org_id, slug) REFERENCES integrations (org_id, slug)
) STRICT, WITHOUT ROWID;

CREATE INDEX integration_workflows_by_workflow ON integration_workflows (org_id, workflow_id);

-- An end user's copy of a workflow. event is what starts the installed version, NULL when no event does.
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

CREATE INDEX installations_by_event ON installations (org_id, end_user_id, event) WHERE active = 1 AND event IS NOT NULL;
CREATE INDEX installations_by_age ON installations (org_id, id);
CREATE INDEX installations_by_user ON installations (org_id, end_user_id, id);
CREATE INDEX installations_by_workflow ON installations (org_id, workflow_id, id);

-- The engine's part: whose runs they are.
ALTER TABLE runs ADD COLUMN end_user_id TEXT;         -- NULL: the organization's own
ALTER TABLE event_waits ADD COLUMN end_user_id TEXT;  -- NULL: waits for the organization's events, else for its user's
CREATE INDEX runs_by_end_user ON runs (org_id, end_user_id) WHERE end_user_id IS NOT NULL;
CREATE INDEX runs_logged ON runs (org_id, end_user_id, workflow_id)
    WHERE end_user_id IS NOT NULL AND parent_run_id IS NULL;
CREATE INDEX runs_logged_errors ON runs (org_id, end_user_id, workflow_id)
    WHERE end_user_id IS NOT NULL AND parent_run_id IS NULL AND state = 'failed';
DROP INDEX event_waits_by_event;
CREATE INDEX event_waits_by_event ON event_waits (org_id, event, end_user_id);
CREATE INDEX webhook_deliveries_by_event ON webhook_deliveries (event_id);

-- Purges that have been asked for and are not done yet: a start goes on with them.
CREATE TABLE end_user_purges (
    end_user_id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    upto_seq INTEGER NOT NULL,  -- of runs: what was started later stays
    asked_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
