"""Connectors: other applications' actions as data."""
