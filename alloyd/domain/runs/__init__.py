"""Runs: started durably, driven step by step, ended exactly once, whatever happens to the process."""
