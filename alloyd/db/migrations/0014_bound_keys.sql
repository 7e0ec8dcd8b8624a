-- Keys that are bound to one teammate: they open its channel and nothing else, and end with it. And the list of runs
-- without those that other runs started.

ALTER TABLE api_keys ADD COLUMN teammate_id TEXT;

CREATE INDEX api_keys_by_teammate ON api_keys (org_id, teammate_id) WHERE teammate_id IS NOT NULL;

-- A foreach makes as many runs as it has items: read past one by one, a page would cost what all of them do. Nothing in
-- them changes, so only a start pays.
CREATE INDEX runs_top_level ON runs (org_id) WHERE parent_run_id IS NULL;
CREATE INDEX runs_top_level_by_workflow ON runs (org_id, workflow_id) WHERE parent_run_id IS NULL;
