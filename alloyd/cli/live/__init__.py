"""Commands that are HTTP clients of the daemon's own API: one file a group."""
