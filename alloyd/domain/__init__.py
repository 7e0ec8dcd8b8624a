"""The capabilities, one folder each: model (rules), store (SQL), service (use cases), worker (a loop it owns)."""
