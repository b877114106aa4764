"""Units of several objects: which objects belong together, in which order, and where their units go."""
