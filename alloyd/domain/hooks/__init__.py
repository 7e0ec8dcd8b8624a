"""Incoming webhooks: signed requests of others that start workflows."""
