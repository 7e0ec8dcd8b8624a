-- Connectors of organizations, credentials for connectors, and what connecting an account needs on the way.

CREATE TABLE connectors (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,           -- own-...; those that ship are no rows
    definition TEXT NOT NULL,     -- JSON
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX connectors_by_name ON connectors (org_id, name);

CREATE TABLE credentials (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    end_user_id TEXT,             -- NULL: the organization's own
    connector TEXT NOT NULL,      -- a connector's name
    kind TEXT NOT NULL,           -- api_key, bearer, basic, oauth2
    label TEXT NOT NULL,
    settings TEXT NOT NULL,       -- JSON object: what is no secret, such as a shop's name
    data TEXT NOT NULL,           -- sealed JSON object
    key_id TEXT NOT NULL,         -- the key that data is sealed with
    version INTEGER NOT NULL,     -- counts what data has been: a refresh replaces only what it began with
    status TEXT NOT NULL,         -- ok, failed
    fault TEXT,                   -- why it failed, without secrets
    expires_at INTEGER,           -- of the access token; NULL: it does not, or nobody said
    refreshable INTEGER NOT NULL, -- whether data has what gets a new access token
    last_used_at INTEGER,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX credentials_by_label ON credentials (org_id, coalesce(end_user_id, ''), label);
CREATE INDEX credentials_by_connector ON credentials (org_id, connector, end_user_id, id);
CREATE INDEX credentials_by_org ON credentials (org_id, id);
CREATE INDEX credentials_by_key ON credentials (key_id, id);

-- An organization's application at a vendor, with which its accounts are connected.
CREATE TABLE oauth_clients (
    org_id TEXT NOT NULL REFERENCES organizations (id),
    connector TEXT NOT NULL,
    data TEXT NOT NULL,           -- sealed JSON object: client_id, client_secret
    key_id TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, connector)
) STRICT, WITHOUT ROWID;

-- An account that is being connected: used once, forgotten when its time is over.
CREATE TABLE oauth_states (
    state_hash TEXT PRIMARY KEY,  -- SHA-256 of what the browser carries
    org_id TEXT NOT NULL,
    data TEXT NOT NULL,           -- sealed JSON object: the client, the PKCE verifier, what the credential will be
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX oauth_states_by_end ON oauth_states (expires_at);
