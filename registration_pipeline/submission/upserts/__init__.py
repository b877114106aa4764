"""Sending metadata that changed to items that are registered."""
