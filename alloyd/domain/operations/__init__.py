"""What a step can do: one file an operation, listed in catalogue.py."""
