"""Checks every file of a source's state: what is damaged or missing, and what to do about it. Nothing is changed."""
