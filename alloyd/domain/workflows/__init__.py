"""Workflow definitions: two ways to write one, one graph inside; versions; the checks before one is published."""
