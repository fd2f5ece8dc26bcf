"""The graph: what a net is between its text and its plan."""
