"""The contracts: each translates in, calls a capability, translates out, and decides nothing."""
