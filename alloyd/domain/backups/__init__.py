"""Backups: database and files in one archive, made while the daemon works, checked, restored."""
