"""A loaded configuration with its state, listers, readers and gateway, each opened on first use. Nothing of Dagster."""
