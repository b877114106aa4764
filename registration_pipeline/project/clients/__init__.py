"""Clients of the stores that a source names, built from its settings and the environment."""
