"""The main job on a small real bucket: generated media, a local S3 server, the sandbox. Nothing else depends on it."""
