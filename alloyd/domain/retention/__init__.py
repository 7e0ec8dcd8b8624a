"""Retention: what is old is deleted in small steps, and the space goes back to the disk."""
