"""Trained arrays in files."""
