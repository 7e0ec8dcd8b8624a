-- Teams, invitations and grants.

CREATE TABLE teams (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX teams_by_slug ON teams (org_id, slug);
CREATE INDEX teams_by_org ON teams (org_id, id);

CREATE TABLE team_members (
    team_id TEXT NOT NULL REFERENCES teams (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    org_id TEXT NOT NULL,
    role TEXT,                    -- NULL: the role in the organization
    created_at INTEGER NOT NULL,
    PRIMARY KEY (team_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX team_members_by_user ON team_members (user_id);

CREATE TABLE invitations (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    email TEXT NOT NULL,          -- case-folded
    role TEXT NOT NULL,
    team_id TEXT,
    token_hash BLOB NOT NULL,     -- SHA-256 of the token
    state TEXT NOT NULL,          -- pending accepted revoked; a pending one whose time is over is expired
    invited_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    accepted_by TEXT
) STRICT;
CREATE INDEX invitations_by_org ON invitations (org_id, id);
CREATE INDEX invitations_by_time ON invitations (org_id, created_at);
CREATE INDEX invitations_pending ON invitations (org_id, email) WHERE state = 'pending';

CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    principal_kind TEXT NOT NULL, -- user, api_key
    principal_id TEXT NOT NULL,
    action TEXT NOT NULL,         -- <resource>.<verb> or <resource>.*
    resource_kind TEXT NOT NULL,  -- '' for none
    resource_id TEXT NOT NULL,    -- '' for none, * for all of the kind
    effect TEXT NOT NULL,         -- allow, deny
    granted_by TEXT NOT NULL,
    granter_role TEXT NOT NULL,   -- who may take it back
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX grants_by_org ON grants (org_id, id);
CREATE UNIQUE INDEX grants_by_principal ON grants
    (principal_id, org_id, principal_kind, action, resource_kind, resource_id, effect);
