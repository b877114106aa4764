"""The stages that read facts about the objects of a loaded source: whether there is anything to read, and reading it."""
