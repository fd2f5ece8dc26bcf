"""An old project in one go: its texts, solvers, weights and scripts found, upgraded, proven."""
