"""Credentials for connectors: sealed, refreshed once however many wait, and shown to nobody."""
