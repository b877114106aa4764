"""Client metadata: what the entries of ``metadata`` say of objects, merged into one set of facts and checked."""
