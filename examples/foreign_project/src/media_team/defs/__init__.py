"""The definitions of this project, a folder or module each."""
