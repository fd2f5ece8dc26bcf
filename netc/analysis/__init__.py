"""Analyses of a graph: costs, receptive fields, structure, lints, and the alignment of crops."""
