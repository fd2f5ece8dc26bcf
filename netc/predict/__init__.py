"""Batch inference (`netc predict`): reading records, running a net on them, storing the answers."""
