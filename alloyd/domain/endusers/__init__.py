"""End users: for whom an organization runs workflows, and their short tokens."""
