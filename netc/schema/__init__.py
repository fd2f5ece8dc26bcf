"""What fields mean: messages and their types; knows nothing of layers."""
