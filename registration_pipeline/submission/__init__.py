"""From a manifest to verdicts: the gateway to Encord, the error table and the state machine of a chunk."""
