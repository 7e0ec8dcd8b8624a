"""The composition root: builds everything, starts it in order, stops it in reverse; it alone knows everybody."""

from alloyd.app.program import App

__all__ = ["App"]
