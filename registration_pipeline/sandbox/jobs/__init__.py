"""Upload jobs of the sandbox: accepting manifests, opening objects, registering units."""
