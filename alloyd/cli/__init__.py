"""The command line: the daemon, and the commands that talk to it or do its work in its absence."""
