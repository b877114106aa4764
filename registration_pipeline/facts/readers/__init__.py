"""Readers of parts of objects, one module per provider, and what they have in common."""
