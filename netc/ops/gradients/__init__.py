"""Gradients of layers: one family a file, ``catalog.py`` the only list. Inference loads none."""
