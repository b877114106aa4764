"""The report: the state of sources as typed figures, one HTML page, and a Prometheus text file."""
