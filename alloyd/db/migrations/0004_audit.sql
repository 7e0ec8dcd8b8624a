-- The audit trail: one chain for the installation. seq has no gaps; hash is SHA-256 over the hash of the row before and
-- all columns of this one. What may be deleted is only what audit_ends has let go of.

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
CREATE INDEX audit_log_by_org ON audit_log (org_id, created_at);

-- Both ends of the chain: the newest row, so that one that is cut off is missed, and the newest row that was deleted.
CREATE TABLE audit_ends (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    last_seq INTEGER NOT NULL,
    last_hash BLOB NOT NULL,
    pruned_seq INTEGER NOT NULL,
    pruned_hash BLOB NOT NULL
) STRICT;
INSERT INTO audit_ends VALUES (1, 0, zeroblob(32), 0, zeroblob(32));

CREATE TRIGGER audit_log_stays BEFORE UPDATE ON audit_log
BEGIN
    SELECT raise(ABORT, 'the audit trail is append-only');
END;
CREATE TRIGGER audit_log_is_kept BEFORE DELETE ON audit_log
WHEN OLD.seq > (SELECT pruned_seq FROM audit_ends)
BEGIN
    SELECT raise(ABORT, 'the audit trail is append-only');
END;
