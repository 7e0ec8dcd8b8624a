-- Signing in, and what belongs to users.

-- Grows with whatever ends a user's sign-ins at once; a token names the one it was issued in.
ALTER TABLE users ADD COLUMN session_epoch INTEGER NOT NULL DEFAULT 0;

-- Tokens that were signed out before their time.
CREATE TABLE revoked_tokens (
    jti TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX revoked_tokens_by_user ON revoked_tokens (user_id, expires_at);
CREATE INDEX revoked_tokens_by_age ON revoked_tokens (expires_at);

CREATE INDEX memberships_by_time ON memberships (org_id, created_at, user_id);

ALTER TABLE api_keys ADD COLUMN team_id TEXT;
