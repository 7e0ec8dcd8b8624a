"""The web page: its files, and its session."""
