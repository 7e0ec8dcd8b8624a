"""Integrations: workflows offered to end users, and the copies that end users have of them."""
