-- Keys that are bound to one teammate: they open its channel and nothing else, and end with it.

ALTER TABLE api_keys ADD COLUMN teammate_id TEXT;

CREATE INDEX api_keys_by_teammate ON api_keys (org_id, teammate_id) WHERE teammate_id IS NOT NULL;
