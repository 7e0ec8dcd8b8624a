"""Users: people with an e-mail and a password, and their membership in organizations."""
