"""Idempotency keys: a repeated create answers with what the first one made."""
