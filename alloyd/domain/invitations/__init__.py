"""Invitations: how people become members of an organization."""
