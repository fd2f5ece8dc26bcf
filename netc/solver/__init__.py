"""Training as a solver's text says it: settings, learning rates, state on disk."""
