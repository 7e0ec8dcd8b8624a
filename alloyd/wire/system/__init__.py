"""The system surface: health, metrics and the description of everything, at paths without a prefix."""
