"""The admin port of the sandbox: its page, the same as JSON, and what a sandbox holds."""
