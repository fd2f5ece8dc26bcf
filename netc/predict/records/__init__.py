"""Where inputs come from: records of files, databases, tables and arrays, by their numbers."""
