-- Outgoing webhooks and their deliveries.

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
CREATE INDEX webhooks_by_org ON webhooks (org_id, id);

-- One event for one webhook: sent until somebody takes it, or until the attempts are used up.
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
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_next ON webhook_deliveries (next_attempt_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (org_id, webhook_id, id);
CREATE INDEX webhook_deliveries_by_end ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;
