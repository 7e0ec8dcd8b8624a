"""Jobs: one call of the AI gateway each, done in the background as a durable run of one step."""
