"""Schedules: workflows that are started by the clock, each time once."""
