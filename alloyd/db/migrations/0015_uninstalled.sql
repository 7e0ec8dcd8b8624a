-- Workflows that were taken from an end user, whose unfinished runs are still to be cancelled.

CREATE TABLE uninstalled_workflows (
    org_id TEXT NOT NULL,
    end_user_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    upto_seq INTEGER NOT NULL,  -- of runs: what a later installation starts goes on
    since INTEGER NOT NULL,
    PRIMARY KEY (org_id, end_user_id, workflow_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX runs_unfinished_of_end_user ON runs (org_id, end_user_id)
    WHERE end_user_id IS NOT NULL AND ended_at IS NULL;
