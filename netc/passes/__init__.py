"""Graph to graph, one a file."""
