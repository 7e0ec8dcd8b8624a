"""The process's own life: the data directory it owns, and what it tells the service manager."""
