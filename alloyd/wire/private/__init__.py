"""The private contract: an organization's storage, and starting its workflows, under /api/private."""
