"""Training as a solver prototxt defines it: settings, learning rates, tests, snapshots, logs."""
