"""The figures of docs/benchmarks.md: each module here measures one stage beside a named baseline in the same run."""
