"""The embedded contract: end users, their integrations, workflows, events and logs."""
