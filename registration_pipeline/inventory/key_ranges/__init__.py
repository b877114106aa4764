"""One inventory listed in key ranges by several processes, on any machines: begun, range by range, committed."""
