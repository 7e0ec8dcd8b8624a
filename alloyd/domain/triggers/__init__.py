"""Workflows that events of their organization start: events of any kind, and changes of files."""
