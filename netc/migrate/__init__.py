"""Old formats to the current one, a format a file."""
