"""Every object that is not registered, and why: the rows, and the files they are kept in."""
