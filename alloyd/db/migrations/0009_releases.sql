-- Labels of workflow versions.

CREATE TABLE workflow_releases (
    workflow_id TEXT NOT NULL REFERENCES workflows (id),
    label TEXT NOT NULL,
    org_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (workflow_id, label)
) STRICT, WITHOUT ROWID;
