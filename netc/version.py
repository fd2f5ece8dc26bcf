"""The version of netc; setup.py reads it too."""

__version__ = "0.1.0"
