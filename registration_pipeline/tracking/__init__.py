"""What happened: journal, outcomes, status and failure log. Only reading and recording; nothing is decided about sending."""
