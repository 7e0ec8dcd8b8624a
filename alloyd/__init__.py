"""alloyd: a self-hosted automation appliance in one executable."""

__version__ = "0.1.0"
