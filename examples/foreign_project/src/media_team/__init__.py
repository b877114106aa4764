"""A project of another team: its own assets, executor and resources, and a bucket that is registered in Encord."""
