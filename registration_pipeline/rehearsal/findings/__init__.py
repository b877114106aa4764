"""What the observations of a rehearsal mean for the pipeline's rules: pure functions, one for each question."""
