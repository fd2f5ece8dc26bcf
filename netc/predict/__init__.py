"""A net on many inputs: what they are read from, how they are run, where the answers go."""
