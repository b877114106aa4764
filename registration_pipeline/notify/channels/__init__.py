"""The ways a message reaches people: Slack, a webhook, e-mail. Each knows its own wire format and nothing of the others."""
