"""Training graphs: gradients, updates, and what solvers do to parameters."""
