"""Outgoing webhooks: which events go where, and every delivery until it has arrived or failed for good."""
