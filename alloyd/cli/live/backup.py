"""`alloyd backup` and `alloyd restore`."""
