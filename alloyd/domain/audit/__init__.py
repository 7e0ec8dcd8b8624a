"""The audit trail: who asked for what, in a chain of hashes that shows when a row was touched."""
