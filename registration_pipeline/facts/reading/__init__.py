"""Reads something of many objects, once: many threads, a cache by key and version, going on after a kill.

What belongs here: what every such reading has in common. What does not: the content of objects; what is read is a ``FactKind``
(``spec.py``), which its own package describes.
"""
