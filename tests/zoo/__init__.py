"""The nets of the literature in ``prototxt/``."""
