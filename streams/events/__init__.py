"""Step 1, an event arrives: it is read by its source's schema, or refused to the dead letters with its place and reason."""
