"""Where one object is: found by its key in the files of the state, of which only the row groups that can hold it are read."""
