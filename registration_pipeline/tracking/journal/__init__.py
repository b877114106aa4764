"""What happened to each chunk: events, the states they fold to, and their summary in one file."""
