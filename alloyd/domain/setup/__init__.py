"""The first user of an installation."""
