"""Datasets: registered items are linked to one after the other, each once, and never unlinked (decision 043)."""
