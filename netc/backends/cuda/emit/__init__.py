"""Nodes to steps: one file a family of kernels."""
