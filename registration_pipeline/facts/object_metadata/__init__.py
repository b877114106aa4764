"""What stores keep about objects besides their content, as values of client metadata: the entry ``object_metadata: true``."""
