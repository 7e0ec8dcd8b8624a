"""The control contract: everything an organization's people manage, enveloped, under /v1."""
