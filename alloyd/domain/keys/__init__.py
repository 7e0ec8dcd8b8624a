"""API keys: the credentials of organizations."""
