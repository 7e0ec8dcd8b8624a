"""Sessions: what a user signs in with, the tokens that come of it, and their end."""
