"""End users' runs: events that start and resume them, their logs, and the purge."""
