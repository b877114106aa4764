"""Client metadata in objects beside the objects that it is about: the entry ``sidecar: <suffix>``."""
