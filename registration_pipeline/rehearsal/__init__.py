"""Tries in a folder of its own how an Encord account behaves where the contract leaves it open, and removes what it made."""
