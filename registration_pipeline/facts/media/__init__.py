"""What media say of themselves in their first and last kilobytes: the blocks of media metadata that Encord's manifests take.

What belongs here: one module for each kind of file, the processes that run libraries on foreign bytes (``workers.py``,
``worker.py``), and the set of facts ``media``. What does not: which objects are probed, and what a manifest makes of it.
"""
